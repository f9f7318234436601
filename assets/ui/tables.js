// The tables beside the pictures: which of those shown stand in one most often, and with what the
// one in the panel does.

import { element } from "./element.js";
import * as questions from "./question.js";

const MOST = 3; // tables
const ROWS = 10;
const ASKED = 200; // pictures of one request

/** A line for each table, above the pictures; nothing is asked before it is opened. */
export class Counts {
  /** `on` has the functions addressOf(id) and open(id). */
  constructor(results, on) {
    this.lines = [];
    this.pictures = [];
    questions.collection().then(
      ({ tables }) => {
        this.lines = tables.slice(0, MOST).map(({ name }) => new Line(name, on));
        results.before(...this.lines.map(({ root }) => root));
        this.show(this.pictures);
      },
      () => {}, // told where pictures are asked for
    );
  }

  show(pictures) {
    this.pictures = pictures;
    for (const line of this.lines) line.show(pictures);
  }
}

class Line {
  constructor(name, on) {
    this.name = name;
    this.on = on;
    this.place = element("div");
    const summary = element("summary", {}, `These pictures in ${words(name)}`);
    this.root = element("details", { className: "counts" }, summary, this.place);
    this.root.addEventListener("toggle", () => this.show(this.pictures));
  }

  async show(pictures) {
    this.pictures = pictures;
    this.root.hidden = !pictures.length;
    const ids = pictures.slice(0, ASKED).map(({ id }) => id);
    const key = ids.join("\n");
    if (key === this.key) return;
    this.key = this.root.open && key;
    if (!this.key) return this.place.replaceChildren();
    if (!this.place.firstChild) this.place.append("Counting …");
    this.place.ariaBusy = "true";
    const made = await madeOf(questions.counts(this.name, ids), ({ counts }) => {
      const rows = counts.filter(({ count }) => count).slice(0, ROWS);
      if (!rows.length) return element("p", {}, "None of these pictures is in it.");
      const caption = `Most often in ${words(this.name)}; pictures counted: ${ids.length}`;
      return chart(caption, rows, (id) => this.#link(pictures.find((one) => one.id === id)));
    });
    if (key !== this.key) return; // others came in between
    if (made.role) this.key = null; // asked again when it is opened again
    this.place.replaceChildren(made);
    this.place.ariaBusy = null;
  }

  #link({ id, title }) {
    const link = element("a", { href: this.on.addressOf(id) }, title);
    link.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      this.on.open(id);
    });
    return link;
  }
}

/** What stands most often with a picture in each table; it comes when it is known. */
export function topsOf({ id }, tables) {
  const asked = tables.slice(0, MOST).filter(({ columns }) => columns.length);
  return asked.map(({ name }) => {
    const place = element("div", { className: "counts" });
    const made = madeOf(questions.top(name, id), ({ column, counts }) => {
      const caption = `Top ${words(column)} in ${words(name)}`;
      return counts.length ? chart(caption, counts, (value) => element("span", {}, value)) : "";
    });
    made.then((made) => place.append(made));
    return place;
  });
}

/** What is made of an answer, or a line that says why there is none. */
async function madeOf(answer, make) {
  try {
    return make(await answer);
  } catch (error) {
    return element("p", { role: "alert" }, questions.told(error));
  }
}

/** A table that is a chart too, the most first. */
function chart(caption, counts, show) {
  const lines = counts.map(({ value, count }) => {
    const what = show(value);
    what.dir = "auto";
    const bar = element("i");
    bar.style.width = `${(100 * count) / counts[0].count}%`;
    const number = element("td", {}, count.toLocaleString("en"));
    return element("tr", {}, element("th", { scope: "row" }, what, bar), number);
  });
  return element("table", {}, element("caption", {}, caption), element("tbody", {}, ...lines));
}

const words = (name) => name.replaceAll("_", " ");
