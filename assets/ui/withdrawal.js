// What a curator can do with the picture in the panel: withdraw it, and its copies.

import * as questions from "./question.js";

export class Withdrawal {
  /** `on` has the functions done(ids) and trouble(text). */
  constructor(dialog, on) {
    this.on = on;
    this.picture = null;
    this.part = (id) => dialog.querySelector(`#${id}`);
    this.part("withdraw").addEventListener("click", () => this.#toggle(this.#isShut));
    this.part("withdraw-not").addEventListener("click", () => this.#toggle(false));
    this.part("withdrawal").addEventListener("submit", (event) => this.#withdraw(event));
    questions.you().then(
      ({ role }) => (this.part("withdraw").hidden = !["curator", "operator"].includes(role)),
      () => {},
    );
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
    this.part("copies").hidden = !pictures.length;
  }

  async #withdraw(event) {
    event.preventDefault();
    const chosen = this.part("copies").querySelectorAll("input:checked");
    const ids = [this.picture.id, ...[...chosen].map((input) => input.value)];
    this.part("withdraw-now").disabled = true;
    try {
      const { kept } = await questions.withdraw(ids, this.part("reason").value);
      this.on.done(ids, kept);
    } catch (error) {
      if (!(error instanceof questions.Problem)) throw error;
      this.on.trouble(error.message);
    } finally {
      this.part("withdraw-now").disabled = false;
    }
  }
}

/** A picture that may be withdrawn too; nothing is chosen beforehand. */
function choice(picture) {
  const label = document.createElement("label");
  const input = document.createElement("input");
  input.type = "checkbox";
  input.value = picture.id;
  const image = new Image();
  image.src = picture.thumbnail;
  image.alt = picture.title;
  image.title = picture.title;
  label.append(input, image);
  const item = document.createElement("li");
  item.append(label);
  return item;
}
