// Forms of the panel that few need: to report a picture, and for curators to cover it.

import { element } from "./element.js";
import * as questions from "./question.js";

const LONGEST_WORDS = 1000;
const LONGEST_NOTICE = 200;

/** What a member fills in to tell the curators of something wrong. */
export async function reportOf(picture) {
  const reasons = Object.entries(await questions.reasons());
  const reason = element(
    "select",
    { name: "reason", required: true },
    element("option", { value: "" }, "Choose"),
    ...reasons.map(([value, said]) => element("option", { value }, said)),
  );
  const words = element("textarea", { name: "words", rows: 3, maxLength: LONGEST_WORDS });
  reason.addEventListener("change", () => (words.required = reason.value === "other"));
  return formOf({
    about: "The curators of this collection will look at it. They see what you write, not who you are.",
    parts: [labelled("What is wrong?", reason), labelled("In your words, if you like", words)],
    does: "Send",
    done: "Thank you. A curator will look at it.",
    send: () => questions.report({ id: picture.id, reason: reason.value, words: words.value }),
  });
}

/** What a curator fills in to cover a picture until somebody asks for it. */
export function noticeFor(picture, onDone) {
  const text = element("input", { name: "notice", required: true, maxLength: LONGEST_NOTICE, autocomplete: "off" });
  return formOf({
    about: "The picture is covered for everybody until they ask for it. The tab Curate takes it back.",
    parts: [labelled("The notice, such as: Shows violence", text)],
    does: "Cover",
    done: "The picture is covered.",
    send: async () => {
      await questions.addNotice({ text: text.value, ids: [picture.id] });
      await onDone(picture);
    },
  });
}

const labelled = (label, control) => element("label", {}, label, control);

/** A form that says what came of it in its own place; what resets it is “Cancel”. */
function formOf({ about, parts, does, done, send }) {
  const trouble = element("p", { className: "trouble", role: "alert" });
  const submit = element("button", { type: "submit", className: "main" }, does);
  const cancel = element("button", { type: "reset" }, "Cancel");
  const form = element("form", { className: "form" }, element("p", {}, about), ...parts, trouble, submit, cancel);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    submit.disabled = true;
    try {
      await send();
      const thanks = element("p", { role: "status", tabIndex: -1 }, done);
      form.replaceChildren(thanks);
      thanks.focus({ preventScroll: true });
    } catch (error) {
      trouble.textContent = questions.told(error);
    } finally {
      submit.disabled = false;
    }
  });
  return form;
}
