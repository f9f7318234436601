// What was understood of a question, a chip for each part: what is looked for, pictures that are
// liked or not, filters. Each can be taken away.

import { addressOf, nameOf } from "./covers.js";
import { element } from "./element.js";
import { NOTHING } from "./question.js";

const TOUCH = matchMedia("(hover: none)");

export class Chips {
  /** `on` has the functions ask(question) and record(id). */
  constructor(list, on) {
    this.list = list;
    this.on = on;
    this.preview = null;
  }

  /** Show a question; `found` is what was answered, if it is known yet. */
  show(question, found) {
    this.question = question;
    // Until the answer is there, what is known of the one before stays: nothing jumps.
    if (found) this.found = { ...found, text: question.text, contains: question.contains };
    const { terms = [], filters = [], text, contains } = this.found ?? {};
    if (this.preview) URL.revokeObjectURL(this.preview);
    this.preview = question.file ? URL.createObjectURL(question.file) : null;
    const parts = [
      ...this.#words(text === question.text ? terms : []),
      ...this.#pictures(question, "like", "more like"),
      ...this.#pictures(question, "unlike", "less like"),
      ...this.#filters(
        filters.filter(({ where }) => question.where.includes(where)),
        contains === question.contains ? contains.trim() : "",
      ),
    ];
    if (question.file) parts.unshift(this.#file(question.file));
    if (parts.length > 1) parts.push(this.#all());
    this.list.replaceChildren(...parts);
  }

  /** None where the words are one plain text: they stand in the field. */
  #words(groups) {
    const [[first]] = groups.length ? groups : [[]];
    if (groups.flat().length < 2 && !first?.picture && (first?.weight ?? 1) === 1) return [];
    return groups.flatMap((terms) =>
      terms.map((term, place) => {
        const about = place ? "or" : aboutWeight(term.weight);
        const without = { ...this.question, text: term.without };
        if (!term.picture) return this.#chip(about, words(term.text), term.text, without);
        return this.#chip(about, imageOf(term.picture), term.picture.title, without);
      }),
    );
  }

  #pictures(question, how, about) {
    return question[how].map((id) => {
      const image = element("img", { alt: id });
      const without = { ...question, [how]: question[how].filter((other) => other !== id) };
      const chip = this.#chip(about, image, id, without);
      chip.className = how;
      this.on.record(id).then(
        (picture) => {
          Object.assign(image, imageProperties(picture, how));
          chip.querySelector("button").ariaLabel = `Search without ${picture.title}`;
        },
        () => {},
      );
      return chip;
    });
  }

  #filters(filters, contains) {
    const chips = filters.map(({ where, said }) => {
      const left = this.question.where.filter((one) => one !== where);
      return this.#chip("", words(said), said, { ...this.question, where: left });
    });
    if (contains) {
      const without = { ...this.question, contains: "" };
      chips.push(this.#chip("with", words(contains), contains, without));
    }
    for (const chip of chips) chip.className = "filter";
    return chips;
  }

  #file(file) {
    const name = file.name || "your picture";
    const image = element("img", { alt: name, title: name, src: this.preview });
    return this.#chip("like yours", image, name, { ...this.question, file: null });
  }

  #all() {
    const clear = element("button", { type: "button", className: "all" }, "Clear all");
    clear.addEventListener("click", () => this.#ask(NOTHING));
    return element("li", {}, clear);
  }

  #chip(about, what, name, without) {
    const how = { type: "button", ariaLabel: `Search without ${name}` };
    const remove = element("button", how, "×");
    remove.addEventListener("click", () => this.#ask(without));
    const before = about ? [element("span", { className: "how" }, about)] : [];
    return element("li", {}, ...before, what, remove);
  }

  #ask(question) {
    this.on.ask(question);
    // The chip is gone, and the focus with it; in the field it would call up a phone's keyboard.
    document.getElementById(TOUCH.matches ? "status" : "words").focus({ preventScroll: true });
  }
}

const words = (text) => element("bdi", {}, text);

const imageProperties = (picture, how) => ({
  src: addressOf(picture, "thumbnail"),
  alt: `${how === "unlike" ? "Less like" : "Like"} ${nameOf(picture)}`,
  title: picture.title,
});

const imageOf = (picture) => element("img", imageProperties(picture, "like"));

function aboutWeight(weight) {
  const size = Math.abs(weight);
  const times = size === 1 ? "" : `${size} × `;
  return weight < 0 ? `${times}less` : times.trim();
}
