// What was found, to carry off: files of the pictures that are shown or chosen, a link, a citation.

import { element } from "./element.js";
import * as questions from "./question.js";

const MOST = { sheet: 200 }; // pictures of a sheet; of the others all that can be shown
const FORMATS = [
  ["csv", "Table (CSV)"],
  ["json", "JSON"],
  ["bibtex", "BibTeX"],
  ["sheet", "Sheet of pictures"],
];

export class Carry {
  /** `on` has the functions trouble(text) and chosen(): what is chosen has changed. */
  constructor(root, on) {
    this.on = on;
    this.button = root.querySelector("#carry-open");
    this.place = root.querySelector("#carry");
    this.chosen = new Set(); // ids
    this.button.addEventListener("click", () => {
      this.place.hidden = !this.place.hidden;
      this.button.ariaExpanded = String(!this.place.hidden);
      this.#show();
    });
  }

  /** These are the pictures of a question now; what was chosen of another one is not any more. */
  show(question, found, key) {
    if (key !== this.key) this.chosen.clear();
    Object.assign(this, { question, found, key });
    this.button.hidden = questions.isEmpty(question) || !found.pictures.length;
    if (this.button.hidden) this.place.hidden = true;
    this.button.ariaExpanded = String(!this.place.hidden);
    this.#show();
  }

  choose(id) {
    if (!this.chosen.delete(id)) this.chosen.add(id);
    this.#show();
    this.on.chosen();
  }

  #show() {
    const count = this.chosen.size;
    this.button.textContent = count ? `Save or cite (${count})` : "Save or cite";
    if (this.place.hidden) return;
    const shown = this.found.pictures.length;
    const what = count ? `the ${plural(count, "picture")} you selected` : `the ${plural(shown, "picture")} shown`;
    const files = FORMATS.map(([format, label]) => button(label, (made) => this.#store(format, made)));
    const told = element("div", { id: "cited" });
    const more = [
      button("Copy link to this search", (made) => this.#link(made)),
      button("Cite this search", () => cite(questions.citation(this.question), told, this.on.trouble)),
    ];
    if (this.question.file) more.shift(); // nobody else has that picture
    if (count) more.push(button("Select none", () => {
      this.chosen.clear();
      this.#show();
      this.on.chosen();
    }));
    const line = element("p", {}, `As a file, ${what}, with sources and rights:`);
    this.place.replaceChildren(line, element("div", {}, ...files), element("div", {}, ...more), told);
  }

  async #store(format, made) {
    const k = Math.min(this.found.pictures.length, MOST[format] ?? Infinity);
    made.disabled = true;
    try {
      const { name, address } = await questions.fileOf(this.question, format, k, [...this.chosen]);
      element("a", { href: address, download: name }).click();
      setTimeout(() => URL.revokeObjectURL(address), 60_000);
    } catch (error) {
      this.on.trouble(questions.told(error));
    } finally {
      made.disabled = false;
    }
  }

  #link(made) {
    const address = questions.toAddress(this.question, null, this.found.artifact_version);
    copy(new URL(address, location.href).href, made, this.place);
  }
}

/** Show how something is cited, when the server has said it. */
export async function cite(asked, place, trouble) {
  try {
    const { text, bibtex } = await asked;
    place.replaceChildren(
      ...[[text, "Copy"], [bibtex, "Copy BibTeX"]].flatMap(([said, label]) => [
        element("pre", { tabIndex: 0 }, said.trim()),
        button(label, (made) => copy(said, made, place)),
      ]),
    );
  } catch (error) {
    trouble(questions.told(error));
  }
}

async function copy(text, made, place) {
  try {
    await navigator.clipboard.writeText(text);
    made.textContent = "Copied";
  } catch {
    place.append(element("input", { readOnly: true, value: text, ariaLabel: "To be copied" }));
  }
}

function button(label, does) {
  const made = element("button", { type: "button" }, label);
  made.addEventListener("click", () => does(made));
  return made;
}

const plural = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
