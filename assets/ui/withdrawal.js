// What a curator does (it is loaded for curators alone): withdraw the picture in the panel, and its copies; bring pictures back.

import { addressOf, nameOf } from "./covers.js";
import { element } from "./element.js";
import * as questions from "./question.js";

export class Withdrawal {
  #copies = 0;

  /** `on` has the functions done(ids) and trouble(text). */
  constructor(dialog, on) {
    this.on = on;
    this.picture = null;
    this.part = (id) => dialog.querySelector(`#${id}`);
    this.part("withdraw").addEventListener("click", () => this.#toggle(this.#isShut));
    this.part("withdraw-not").addEventListener("click", () => this.#toggle(false));
    this.part("withdrawal").addEventListener("submit", (event) => this.#withdraw(event));
    this.part("withdraw").hidden = false;
  }

  /** Another picture is in the panel. */
  show(picture) {
    this.picture = picture;
    this.part("reason").value = "";
    this.#toggle(false);
  }

  get #isShut() {
    return this.part("withdrawal").hidden;
  }

  #toggle(open) {
    this.part("withdrawal").hidden = !open;
    this.part("withdraw").setAttribute("aria-expanded", String(open));
    if (!open) return;
    this.part("reason").focus();
    this.#proposeCopies(this.picture);
  }

  async #proposeCopies(picture) {
    this.part("copies").hidden = true;
    const { pictures } = await questions.nearCopies(picture.id).catch(() => ({ pictures: [] }));
    if (picture !== this.picture) return;
    this.part("copies").querySelector("ul").replaceChildren(...pictures.map(choice));
    this.#copies = pictures.length;
    this.part("copies").hidden = !pictures.length;
  }

  async #withdraw(event) {
    event.preventDefault();
    const chosen = this.part("copies").querySelectorAll("input:checked");
    const ids = [this.picture.id, ...[...chosen].map((input) => input.value)];
    const left = this.part("copies").hidden ? 0 : this.#copies - chosen.length;
    this.part("withdraw-now").disabled = true;
    try {
      const { kept } = await questions.withdraw(ids, this.part("reason").value);
      this.on.done(ids, { kept, left });
    } catch (error) {
      this.on.trouble(questions.told(error));
    } finally {
      this.part("withdraw-now").disabled = false;
    }
  }
}

/** The list of what is withdrawn; `onBack()` is called when a picture was brought back. */
export class Withdrawn {
  constructor(details, onBack) {
    this.details = details;
    this.onBack = onBack;
    details.hidden = false;
    details.addEventListener("toggle", () => details.open && this.show());
  }

  /** Show what is withdrawn now, if the list is open. */
  async show() {
    if (!this.details.open) return;
    const listed = await questions.withdrawn().catch(() => []);
    this.details.querySelector("ul").replaceChildren(
      ...(listed.length ? listed.map((one) => this.#line(one)) : [element("li", {}, "None.")]),
    );
  }

  #line({ id, reason, by, time }) {
    const on = new Date(time).toLocaleDateString("en-GB");
    const said = element("span", {}, `${reason} (${by}, ${on})`);
    const how = { type: "button", ariaLabel: `Bring back ${id}` };
    const back = element("button", how, "Bring back");
    back.addEventListener("click", async () => {
      back.disabled = true;
      try {
        await questions.restore(id);
        this.onBack();
        await this.show();
      } catch (error) {
        said.textContent = questions.told(error);
      }
    });
    return element("li", {}, element("strong", {}, id), said, back);
  }
}

/** A picture that may be withdrawn too; nothing is chosen beforehand. */
function choice(picture) {
  const image = element("img", { src: addressOf(picture, "thumbnail"), alt: nameOf(picture) });
  const how = { target: "_blank", rel: "noopener", title: "Open the picture by itself" };
  const link = element("a", { href: addressOf(picture, "picture"), ...how }, image);
  const input = element("input", { type: "checkbox", value: picture.id });
  return element("li", {}, link, element("label", {}, input, picture.title));
}
