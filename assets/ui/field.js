// Where the question is put: words, and pictures that are chosen, pasted or dropped.

import { element } from "./element.js";
import { NOTHING, isEmpty } from "./question.js";

const TOUCH = matchMedia("(hover: none)");

export class Field {
  /** `on` has the functions ask(question), trouble(text), record(id) and limits(). */
  constructor(root, on) {
    this.root = root;
    this.on = on;
    this.part = (id) => root.querySelector(`#${id}`);
    this.words = this.part("words");
    this.shown = "";
    this.invitation = this.words.placeholder;
    this.pictures = { like: [], file: null }; // what the chips stand for
    this.preview = null;
    this.part("ask").addEventListener("submit", (event) => this.#submit(event));
    this.words.addEventListener("input", () => this.#showClear());
    this.words.addEventListener("keydown", (event) => {
      if (event.key === "ArrowDown") root.querySelector("#grid a[tabindex='0']")?.focus();
    });
    this.part("clear").addEventListener("click", () => {
      on.ask(NOTHING);
      this.words.focus();
    });
    this.part("examples").addEventListener("click", (event) => {
      const example = event.target.closest("button");
      if (example) on.ask({ ...NOTHING, text: example.textContent });
    });
    this.#listenForPictures();
  }

  /** Show a question. */
  show({ text, like, file }) {
    this.words.value = this.shown = text;
    this.#showChips({ like, file });
    this.#showClear();
    const asked = !isEmpty({ text, like, file });
    this.part("examples").hidden = asked;
    this.root.classList.toggle("asked", asked);
  }

  /** Whether the words are still those of a question: nobody has typed since. */
  shows({ text }) {
    return this.words.value === text;
  }

  #submit(event) {
    event.preventDefault();
    const question = { ...this.pictures, text: this.words.value };
    if (isEmpty(question)) {
      this.on.trouble("Type what you are looking for, or choose a picture to search with.");
      this.words.focus();
      return;
    }
    if (TOUCH.matches) this.words.blur(); // its keyboard would cover the pictures
    this.on.ask(question);
  }

  async #search(file) {
    const bytes = await this.on.limits().then((limits) => limits.bytes, () => Infinity);
    if (file.size > bytes) {
      const [has, may] = [file.size, bytes].map((size) => Math.ceil(size / 1e6));
      this.on.trouble(
        `The picture file has ${has} MB; it may have ${may} MB. Choose or make a smaller one.`,
      );
      return;
    }
    // Words that were typed, and not asked yet, are meant to go with it.
    const text = this.words.value === this.shown ? "" : this.words.value;
    this.on.ask({ ...NOTHING, text, file });
  }

  #listenForPictures() {
    const choose = this.part("file");
    this.part("choose").addEventListener("click", () => choose.click());
    choose.addEventListener("change", () => {
      if (choose.files.length) this.#search(choose.files[0]);
      choose.value = ""; // so that the same file can be chosen again
    });
    document.addEventListener("paste", (event) => {
      const file = pictureOf(event.clipboardData);
      if (!file) return;
      event.preventDefault();
      this.#search(file);
    });
    const drop = document.getElementById("drop");
    const holdsFile = (event) => event.dataTransfer?.types.includes("Files");
    for (const name of ["dragenter", "dragover"]) {
      document.addEventListener(name, (event) => {
        if (!holdsFile(event)) return;
        event.preventDefault();
        drop.hidden = false;
      });
    }
    document.addEventListener("dragleave", (event) => {
      if (!event.relatedTarget) drop.hidden = true; // it left the window
    });
    document.addEventListener("drop", (event) => {
      drop.hidden = true;
      if (!holdsFile(event)) return;
      event.preventDefault();
      const file = pictureOf(event.dataTransfer) ?? event.dataTransfer.files[0];
      if (file) this.#search(file);
    });
  }

  #showClear() {
    const { like, file } = this.pictures; // each of them has its own way out
    this.part("clear").hidden = !this.words.value || like.length > 0 || Boolean(file);
  }

  #showChips({ like, file }) {
    this.pictures = { like, file };
    if (this.preview) URL.revokeObjectURL(this.preview);
    this.preview = file ? URL.createObjectURL(file) : null;
    const chips = like.map((id) => this.#chipOf(id));
    if (file) chips.push(this.#chip(file.name || "your picture", this.preview, { file: null }));
    this.part("chips").replaceChildren(...chips);
    this.words.placeholder = chips.length ? "add words" : this.invitation;
  }

  #chipOf(id) {
    const like = this.pictures.like.filter((other) => other !== id);
    const chip = this.#chip(id, "", { like });
    this.on.record(id).then(
      (picture) => {
        chip.querySelector("img").src = picture.thumbnail;
        chip.querySelector("img").alt = `Like ${picture.title}`;
      },
      () => {},
    );
    return chip;
  }

  /** A picture that is searched with; `without` is what the pictures are when it is taken away. */
  #chip(name, address, without) {
    const image = element("img", { alt: name, title: name, src: address });
    const how = { type: "button", ariaLabel: `Search without ${name}` };
    const remove = element("button", how, "×");
    remove.addEventListener("click", () => {
      const question = { ...this.pictures, ...without, text: this.words.value };
      this.on.ask(question);
      this.words.focus();
    });
    return element("li", {}, image, remove);
  }
}

function pictureOf(transfer) {
  return [...(transfer?.files ?? [])].find((file) => file.type.startsWith("image/"));
}
