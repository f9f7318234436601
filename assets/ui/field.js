// Where the question is put: words, and pictures that are chosen, pasted or dropped.

import { NOTHING, isAsked } from "./question.js";

const TOUCH = matchMedia("(hover: none)");

export class Field {
  /** `on` has the functions ask(question), trouble(text) and limits(). */
  constructor(root, on) {
    this.root = root;
    this.on = on;
    this.part = (id) => root.querySelector(`#${id}`);
    this.words = this.part("words");
    this.question = NOTHING; // what is shown, words that were typed since aside
    this.invitation = this.words.placeholder;
    this.part("ask").addEventListener("submit", (event) => this.#submit(event));
    this.words.addEventListener("input", () => this.#showClear());
    this.words.addEventListener("keydown", (event) => {
      if (event.key === "ArrowDown") root.querySelector("#grid a[tabindex='0']")?.focus();
    });
    this.part("clear").addEventListener("click", () => {
      on.ask({ ...this.question, text: "", acknowledged: [] }); // all else has its own way out
      this.words.focus();
    });
    this.part("examples").addEventListener("click", (event) => {
      const example = event.target.closest("button");
      if (example) on.ask({ ...this.question, text: example.textContent, acknowledged: [] });
    });
    this.#listenForPictures();
  }

  /** Show a question. */
  show(question) {
    this.question = question;
    this.words.value = question.text;
    this.words.placeholder = isAsked({ ...question, text: "" }) ? "add words" : this.invitation;
    this.#showClear();
    this.part("examples").hidden = isAsked(question);
    this.root.classList.toggle("asked", isAsked(question));
  }

  /** Whether the words are still those of a question: nobody has typed since. */
  shows({ text }) {
    return this.words.value === text;
  }

  #submit(event) {
    event.preventDefault();
    const question = { ...this.question, text: this.words.value };
    // Who goes on in spite of a rule does so for these words.
    if (question.text !== this.question.text) question.acknowledged = [];
    if (!isAsked(question) && !this.question.text) {
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
    const text = this.words.value === this.question.text ? "" : this.words.value;
    const { where, contains } = this.question;
    this.on.ask({ ...NOTHING, where, contains, text, file });
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
    this.part("clear").hidden = !this.words.value;
  }
}

function pictureOf(transfer) {
  return [...(transfer?.files ?? [])].find((file) => file.type.startsWith("image/"));
}
