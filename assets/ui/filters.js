// What is known of the pictures, to choose by: a timeline, numbers, values with their counts, words.
// Closed, and nothing asked, until it is wanted.

import { element } from "./element.js";
import * as questions from "./question.js";

const FIRST = 6; // values of a field that are shown at first

export class Filters {
  /** `on` has the functions ask(question), wanted(), what is asked by now, and trouble(text). */
  constructor(root, on) {
    this.on = on;
    this.button = root.querySelector("#filter");
    this.place = root.querySelector("#filters");
    this.wide = new Set(); // fields of which all values are shown
    this.button.addEventListener("click", () => this.#toggle());
    questions.collection().then(
      ({ fields }) => (this.button.hidden = !fields.some(({ kind }) => kind !== "url")),
      () => {}, // told where pictures are asked for
    );
  }

  /** Show what there is to choose among the pictures of a question. */
  async show(question) {
    this.question = question;
    const count = question.where.length + (question.contains.trim() ? 1 : 0);
    this.button.textContent = count ? `Filters (${count})` : "Filters";
    if (this.place.hidden) return;
    this.asking?.abort();
    const asking = (this.asking = new AbortController());
    this.place.ariaBusy = "true";
    try {
      const about = await questions.collection();
      const told = await questions.facets(question, asking.signal);
      if (asking.signal.aborted) return;
      const here = document.activeElement?.dataset.key;
      this.place.replaceChildren(...this.#parts(told, about));
      if (here) this.#focus(here);
    } catch (error) {
      if (!asking.signal.aborted) this.on.trouble(questions.told(error));
    } finally {
      if (this.asking === asking) this.place.ariaBusy = null;
    }
  }

  /** Where the focus was; if that is not there any more, at the beginning. */
  #focus(key) {
    const same = this.place.querySelector(`[data-key="${CSS.escape(key)}"]`);
    (same ?? this.place.querySelector("input"))?.focus();
  }

  #toggle() {
    this.place.hidden = !this.place.hidden;
    this.button.ariaExpanded = String(!this.place.hidden);
    this.show(this.question);
  }

  #parts({ facets, nearest, pictures }, { fields }) {
    const count = pictures.toLocaleString("en");
    const among = nearest ? `Counted among the ${count} nearest.` : `Counted among ${count} pictures.`;
    const timelines = facets.filter(({ bins }) => bins.length);
    timelines.sort((a, b) => (b.role === "year") - (a.role === "year"));
    const values = facets.filter(({ choices }) => choices.length);
    return [
      ...timelines.map((facet) => this.#timeline(facet)),
      ...values.map((facet) => this.#values(facet)),
      ...this.#words(fields),
      element("p", { className: "among" }, among),
    ];
  }

  #where(field, values) {
    const wanted = this.on.wanted();
    const others = wanted.where.filter((one) => !one.startsWith(`${field}:`));
    this.on.ask({ ...wanted, where: [...others, ...values.map((v) => `${field}:${v}`)] });
  }

  /** Choose a value, or not any more, besides those of the field that are chosen by now. */
  #choose(field, value, is) {
    const of = `${field}:`;
    const now = this.on.wanted().where.filter((one) => one.startsWith(of) && one !== of + value);
    const values = now.map((one) => one.slice(of.length));
    this.#where(field, is ? [...values, value] : values);
  }

  /** Bars of a common width; a part of them is chosen by drawing over it, or by two numbers. */
  #timeline({ field, kind, bins, low, high, unknown }) {
    // By the square root: beside one year with most of the pictures, the others would be lines.
    const most = Math.max(1, ...bins.map(({ count }) => Math.sqrt(count)));
    const bars = bins.map((bin, place) => {
      const bar = element("i", { title: `${rangeOf(bin, place, bins)}: ${bin.count}` }, element("b"));
      bar.firstChild.style.height = `${bin.count ? Math.max(3, (100 * Math.sqrt(bin.count)) / most) : 0}%`;
      bar.classList.toggle("out", !overlaps(bin, place, bins.length, low, high));
      return bar;
    });
    const histogram = element("div", { className: "histogram", ariaHidden: "true" }, ...bars);
    const scale = [bins[0], bins[bins.length >> 1], bins.at(-1)].map(({ low }) =>
      element("span", {}, tidy(low)),
    );
    const axis = element("div", { className: "axis", ariaHidden: "true" }, ...scale);
    const [from, to] = [low, high].map((end, place) => {
      const name = place ? "to" : "from";
      const label = `${words(field)}, ${name}`;
      const how = { type: "text", inputMode: "numeric", value: end ?? "", placeholder: name };
      return element("input", { ...how, ariaLabel: label });
    });
    from.dataset.key = `${field} from`;
    to.dataset.key = `${field} to`;
    const apply = () => {
      const [a, b] = [from.value.trim(), to.value.trim()];
      const isWrong = (end) => end && kind === "number" && !Number.isFinite(Number(end));
      const wrong = [a, b].find(isWrong);
      if (wrong) return this.on.trouble(`“${wrong}” is no number. Write figures only: 1850, for example.`);
      const ends = a && b && Number(a) > Number(b) ? [b, a] : [a, b];
      this.#where(field, a || b ? [ends.join("..")] : []);
    };
    for (const input of [from, to]) input.addEventListener("change", apply);
    brush(histogram, (first, last) => {
      from.value = first ? tidy(bins[first].low) : "";
      to.value = last < bins.length - 1 ? tidy(endOf(bins[last], isWhole(bins))) : "";
      apply();
    });
    const ends = element("div", { className: "ends" }, from, "–", to);
    if (unknown) ends.append(element("span", {}, `not known: ${unknown.toLocaleString("en")}`));
    return group(words(field), "timeline", histogram, axis, ends);
  }

  #values({ field, choices, different }) {
    const all = this.wide.has(field);
    const shown = choices.filter(({ chosen }, place) => all || chosen || place < FIRST);
    const lines = shown.map(({ value, count, chosen: is }) => {
      const box = element("input", { type: "checkbox", checked: is });
      box.dataset.key = `${field}:${value}`;
      box.addEventListener("change", () =>
        this.#choose(field, value, box.checked),
      );
      const label = element("label", {}, box, element("bdi", {}, value));
      return element("li", {}, label, element("span", {}, count.toLocaleString("en")));
    });
    const list = element("ul", {}, ...lines);
    const made = [list];
    if (choices.length > shown.length || all) {
      const told = choices.length < different ? `${choices.length} of ${different}` : different;
      const text = all ? "Show fewer" : `Show ${told.toLocaleString("en")}`;
      const more = element("button", { type: "button" }, text);
      more.dataset.key = `${field} more`;
      more.addEventListener("click", () => {
        if (!this.wide.delete(field)) this.wide.add(field);
        this.show(this.question);
      });
      made.push(more);
    }
    return group(words(field), "values", ...made);
  }

  #words(fields) {
    let named = fields.filter(({ role, kind }) => role === "title" || kind === "list");
    if (!named.length) named = fields.filter(({ kind }) => kind === "text");
    if (!named.length) return [];
    const label = `Words in ${named.map(({ name }) => words(name)).join(" or ")}`;
    const input = element("input", { type: "search", value: this.question.contains });
    input.dataset.key = "contains";
    input.ariaLabel = label;
    input.addEventListener("change", () =>
      this.on.ask({ ...this.on.wanted(), contains: input.value }),
    );
    return [group(label, "words", input)];
  }
}

function group(legend, className, ...inner) {
  return element("fieldset", { className }, element("legend", {}, legend), ...inner);
}

/** Call `done(first, last)` with the places of the children that were drawn over. */
function brush(bars, done) {
  let start = null;
  const placeOf = ({ clientX }) => {
    const { left, width } = bars.getBoundingClientRect();
    const place = Math.floor(((clientX - left) / width) * bars.children.length);
    return Math.min(bars.children.length - 1, Math.max(0, place));
  };
  const mark = (a, b) =>
    [...bars.children].forEach((bar, i) =>
      bar.classList.toggle("out", i < Math.min(a, b) || i > Math.max(a, b)),
    );
  bars.addEventListener("pointerdown", (event) => {
    start = placeOf(event);
    bars.setPointerCapture(event.pointerId);
    mark(start, start);
    event.preventDefault();
  });
  bars.addEventListener("pointermove", (event) => start !== null && mark(start, placeOf(event)));
  bars.addEventListener("pointerup", (event) => {
    if (start === null) return;
    const ends = [start, placeOf(event)].sort((a, b) => a - b);
    start = null;
    done(...ends);
  });
  bars.addEventListener("pointercancel", () => (start = null));
}

const isWhole = (bins) => bins.every(({ low, high }) => Number.isInteger(low) && Number.isInteger(high));

/** The last number of a bin: of whole ones the one before the next begins. */
const endOf = ({ high }, whole) => (whole ? high - 1 : high);

function rangeOf(bin, place, bins) {
  const [low, end] = [bin.low, endOf(bin, isWhole(bins))].map(tidy);
  if (place === 0) return `up to ${end}`;
  if (place === bins.length - 1) return `${low} and later`;
  return low === end ? low : `${low}–${end}`;
}

function overlaps({ low, high }, place, count, from, to) {
  const [a, b] = [from ?? -Infinity, to ?? Infinity].map(Number.parseFloat);
  const begins = place === 0 ? -Infinity : low;
  const ends = place === count - 1 ? Infinity : high;
  return !(begins > (Number.isNaN(b) ? Infinity : b) || ends <= (Number.isNaN(a) ? -Infinity : a));
}

const tidy = (number) => String(Number(number.toPrecision(12)));

const words = (name) => name.replaceAll("_", " ").replace(/^./, (first) => first.toUpperCase());
