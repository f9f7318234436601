// The search page: a question comes from the field, a picture or the address; its pictures go to
// the grid, and one of them to the panel. The address always says what is shown.

import { Carry } from "./carry.js";
import { Chips } from "./chips.js";
import { recover } from "./covers.js";
import { element } from "./element.js";
import { Field } from "./field.js";
import { Filters } from "./filters.js";
import { Grid } from "./grid.js";
import { Panel } from "./panel.js";
import { Refusal } from "./policy.js";
import * as questions from "./question.js";
import { Counts } from "./tables.js";

const KEPT = 20; // questions whose pictures stay in memory, for back and forward
const INVITATION = "Ask for what can be seen: a few words, or a picture.";
const NEARNESS = matchMedia("(hover: hover)").matches
  ? "Point at a picture for its nearness: 1 at most, not a percentage. " +
    "There + finds more like it, − less, and ✓ selects it, to save or cite."
  : "The number is nearness: 1 at most, not a percentage.";
const LISTED = "In the order of the collection. Ask for something to have the nearest first.";
const SEARCHING = "Searching …";
const CHANGED =
  "This link was made for another version of the collection: what it finds may have changed.";
const MOST_NAMED = 3; // pictures in a heading; the chips show them all
const PATIENCE = 300; // milliseconds after which a visitor is told that it takes a while

// Asked for at once: Gradio takes a while to put the page up. A failure is told where it matters.
for (const early of [questions.collection, questions.overview]) early().catch(() => {});

class Page {
  constructor(root) {
    this.root = root;
    document.body.append(root.querySelector("#drop")); // seen from the other tabs too
    this.part = (id) => root.querySelector(`#${id}`);
    this.question = questions.NOTHING; // what the grid shows the pictures of
    this.shown = null; // these pictures, their cursor, what was said of them
    this.kept = new Map();
    this.search = null; // what stops the search that is under way
    this.wanted = null; // what it asks: what is clicked meanwhile is added to this
    this.field = new Field(root, {
      ask: (question) => this.ask(question),
      trouble: (text) => this.#trouble(text),
      limits: () => questions.collection().then(({ limits }) => limits),
    });
    this.refusal = new Refusal(this.part("refusal"), {
      ask: (question) => this.ask(question, { move: true }),
      change: () => this.part("words").focus(),
    });
    this.chips = new Chips(this.part("chips"), {
      ask: (question) => this.ask(question),
      record: (id) => this.#record(id),
    });
    this.filters = new Filters(root, {
      ask: (question) => this.ask(question),
      wanted: () => this.wanted ?? this.question,
      trouble: (text) => this.#trouble(text),
    });
    this.carry = new Carry(root, {
      trouble: (text) => this.#trouble(text),
      chosen: () => this.#showChosen(),
    });
    this.grid = new Grid(this.part("grid"), {
      addressOf: (id) => questions.toAddress(this.question, id),
      onOpen: (index) => this.#open(this.shown.pictures[index].id),
      onEnd: () => this.#more(),
      onChoose: (index, how) => this.#choose(this.shown.pictures[index], how),
      isChosen: (id) => this.carry.chosen.has(id),
    });
    this.counts = new Counts(this.part("results"), {
      addressOf: (id) => questions.toAddress(this.question, id),
      open: (id) => this.#open(id, true),
    });
    this.panel = new Panel(this.part("panel"), {
      close: () => this.#close(),
      step: (by) => this.#step(by),
      like: (picture, how) => this.#choose(picture, how),
      select: (picture) => this.#choose(picture, "select"),
      link: (picture) => this.#linkTo(picture),
      withdrawn: (ids, how) => this.#withdrawn(ids, how),
      noticed: (picture) => this.#noticed(picture),
    });
    questions.mayCurate().then((may) => may && this.#offerCurating());
    this.part("more").addEventListener("click", () => this.#more());
    const near = { rootMargin: "1500px" };
    new IntersectionObserver(([at]) => at.isIntersecting && this.#more(), near).observe(
      this.part("more"),
    );
    addEventListener("popstate", () => {
      showTabOf(root);
      this.restore();
    });
    addEventListener("scroll", () => this.#keepScroll(), { passive: true });
    history.scrollRestoration = "manual";
    this.title = document.title;
    this.#showCount();
    showYou();
    this.restore();
  }

  /** Ask a new question. If it is answered, it becomes a place to come back to. */
  async ask(question, { move = false } = {}) {
    this.#showQuestion(question);
    this.wanted = question;
    const found = await this.#find(question);
    if (this.wanted === question) this.wanted = null;
    if (found === null) this.filters.show(this.question); // no tick at what does not count
    if (!found) return;
    const address = questions.toAddress(question);
    const again = this.shown && questions.keyOf(question) === questions.keyOf(this.question);
    if (again) history.replaceState(questions.toState(question), "", address);
    else history.pushState(questions.toState(question), "", address);
    found.scroll = 0;
    if (this.panel.isOpen) this.panel.hide();
    this.#show(question, found);
    showTabOf(this.root);
    if (this.root.getBoundingClientRect().top < 0) this.root.scrollIntoView();
    if (move) this.part("status").focus({ preventScroll: true });
  }

  /** Show what the address says. */
  async restore() {
    const { lost, ...question } = questions.fromHistory(location.search, history.state);
    this.search?.abort(); // of a question that is not asked any more
    this.wanted = null;
    if (!this.shown || questions.keyOf(question) !== questions.keyOf(this.question)) {
      // Not the very first time, if nothing is asked: somebody may be typing already.
      if (this.shown || !questions.isEmpty(question)) this.#showQuestion(question);
      let found = await this.#find(question);
      if (found === undefined) return;
      if (found) this.#show(question, found);
      else if (!this.shown) {
        found = await this.#find(questions.NOTHING, { quietly: true });
        if (!found) return;
        this.#show(questions.NOTHING, found);
      } else {
        // What is shown stays, and field and address go on saying what that is.
        this.#showQuestion(this.question, this.shown);
        const address = questions.toAddress(this.question);
        history.replaceState(questions.toState(this.question), "", address);
        return;
      }
      scrollTo(0, found.scroll ?? 0);
    } else {
      this.#showQuestion(this.question, this.shown);
      this.#trouble("");
    }
    await this.#showAge();
    if (lost) this.#trouble("Your own picture is not stored. Choose it again.");
    const id = openIn(location.search);
    if (id !== null) await this.#showPicture(id);
    else if (this.panel.isOpen) this.#hidePicture();
  }

  /** The pictures of a question, from memory or the server; null if the visitor was told why there
   * are none, undefined if another question has come in between. */
  async #find(question, { quietly = false } = {}) {
    this.search?.abort();
    const search = (this.search = new AbortController());
    if (!quietly) {
      this.#trouble("");
      this.refusal.hide();
    }
    const slow = setTimeout(() => this.#busy(true), PATIENCE);
    try {
      const kept = this.kept.get(questions.keyOf(question));
      const found = kept ?? (await this.#ask(question, search.signal));
      return search.signal.aborted ? undefined : found;
    } catch (error) {
      if (search.signal.aborted) return undefined;
      const refusal = questions.refusalOf(error);
      if (refusal) this.refusal.show(question, refusal);
      else this.#trouble(questions.told(error));
      const text = question.text || this.question.text;
      if (this.field.shows(question)) this.#showQuestion({ ...this.question, text }, this.shown);
      return null;
    } finally {
      clearTimeout(slow);
      if (this.search === search) this.#busy(false);
    }
  }

  async #ask(question, signal) {
    if (questions.isEmpty(question)) {
      const { pictures } = await questions.overview();
      return { pictures: [...pictures], cursor: null };
    }
    const { hits, ...answer } = await questions.ask(question, null, signal);
    return { pictures: hits, ...answer };
  }

  #show(question, found) {
    this.question = question;
    this.shown = found;
    const key = questions.keyOf(question);
    this.kept.delete(key);
    this.kept.set(key, found);
    if (this.kept.size > KEPT) this.kept.delete(this.kept.keys().next().value);
    this.chips.show(question, found);
    this.carry.show(question, found, key);
    this.grid.show(found.pictures);
    this.#showSummary();
    this.#showEnd();
    this.filters.show(question);
  }

  #showQuestion(question, found = null) {
    this.field.show(question);
    this.chips.show(question, found);
  }

  /** More or less like a picture, together with what is asked already; or select it. */
  #choose({ id }, how) {
    if (how === "select") return this.carry.choose(id);
    // The button goes with the pictures, and the focus would go with it.
    return this.ask(questions.liking(this.wanted ?? this.question, id, how), { move: true });
  }

  #showChosen() {
    this.grid.showChosen(this.shown.pictures);
    if (this.panel.isOpen) this.panel.showChosen(this.#isChosen(this.panel.picture.id));
  }

  /** Whether a picture is selected; null if it cannot be: what is not shown here, or unasked. */
  #isChosen(id) {
    if (questions.isEmpty(this.question) || this.#indexOf(id) < 0) return null;
    return this.carry.chosen.has(id);
  }

  /** Fetch the pictures after these. */
  async #more() {
    const shown = this.shown;
    if (!shown?.cursor || shown.busy) return;
    shown.busy = true;
    try {
      const told = await questions.ask(this.question, shown.cursor);
      shown.pictures.push(...told.hits);
      shown.cursor = told.cursor;
      if (this.shown === shown) {
        this.grid.append(told.hits);
        this.carry.show(this.question, shown, questions.keyOf(this.question));
      }
      this.#showEnd();
    } catch (error) {
      const trouble = questions.told(error);
      if (this.shown === shown) this.#showEnd(trouble); // here: nobody asked for it above
    } finally {
      shown.busy = false;
    }
  }

  // One picture

  /** From a row of a table (there one comes back to) or from anywhere else. */
  #open(id, fromRow = false) {
    this.fromRow = fromRow;
    this.search?.abort(); // going back or forward, not yet there
    this.wanted = null;
    const address = questions.toAddress(this.question, id);
    if (this.panel.isOpen) history.replaceState(history.state, "", address);
    else history.pushState({ ...history.state, opened: true }, "", address);
    return this.#showPicture(id);
  }

  #close() {
    if (history.state?.opened) return history.back(); // restore() does the rest
    history.replaceState(history.state, "", questions.toAddress(this.question));
    return this.#hidePicture();
  }

  async #step(by) {
    const here = this.#indexOf(this.panel.picture.id);
    if (here < 0) return;
    const index = here + by;
    if (index === this.shown.pictures.length) await this.#more();
    if (this.shown.pictures[index]) await this.#open(this.shown.pictures[index].id);
  }

  async #showPicture(id) {
    try {
      const about = await questions.collection();
      const picture = await this.#record(id);
      if (openIn(location.search) !== id) return; // another one was opened meanwhile, or none
      const index = this.#indexOf(id);
      const last = index < 0 || (index === this.shown.pictures.length - 1 && !this.shown.cursor);
      const place = picture.score === undefined || picture.score === null ? "" : " by nearness";
      const standing = index < 0 ? "" : `No. ${number(index + 1)}${place}`;
      this.grid.holding(this.fromRow ? -1 : index, () =>
        this.panel.show(picture, { standing, first: index <= 0, last, chosen: this.#isChosen(id) }, about),
      );
      this.grid.mark(index);
    } catch (error) {
      this.#trouble(questions.told(error));
    }
  }

  #hidePicture() {
    const index = this.#indexOf(this.panel.picture.id);
    const address = questions.toAddress(this.question, this.panel.picture.id);
    const row = this.fromRow && this.root.querySelector(`[open] a[href="${address}"]`);
    this.grid.holding(row ? -1 : index, () => this.panel.hide());
    this.grid.mark(-1);
    if (row) row.focus();
    else if (index >= 0) this.grid.focus(index);
  }

  /** The address of a picture where it stands; by itself if it was found with a visitor's own. */
  #linkTo({ id }) {
    const alone = Boolean(this.question.file);
    const address = questions.toAddress(alone ? questions.NOTHING : this.question, id);
    return { address: new URL(address, location.href).href, alone };
  }

  async #record(id) {
    return this.shown?.pictures[this.#indexOf(id)] ?? (await questions.record(id));
  }

  #indexOf(id) {
    return this.shown ? this.shown.pictures.findIndex((picture) => picture.id === id) : -1;
  }

  /** Load what only curators need. */
  async #offerCurating() {
    const [{ Withdrawn }] = await Promise.all([import("./withdrawal.js"), import("./curate.js")]);
    this.withdrawn = new Withdrawn(this.part("withdrawn"), () => this.#refresh());
    addEventListener("curated", () => this.#refresh());
  }

  /** A notice covers a picture now. */
  async #noticed(picture) {
    Object.assign(picture, await questions.record(picture.id));
    this.kept.clear();
    recover(picture);
  }

  /** Some pictures were withdrawn: they leave the page, and can be brought back from here. */
  #withdrawn(ids, how) {
    this.kept.clear();
    const gone = new Set(ids);
    const { pictures } = this.shown;
    this.shown.pictures = pictures.filter((picture) => !gone.has(picture.id));
    this.shown.total -= pictures.length - this.shown.pictures.length;
    this.panel.hide();
    history.replaceState(history.state, "", questions.toAddress(this.question));
    this.grid.show(this.shown.pictures);
    questions.forget();
    this.#showCount();
    this.#showEnd();
    this.withdrawn.show();
    this.part("status").append(this.#undo(ids, how));
    this.part("status").focus({ preventScroll: true });
    this.part("said").scrollIntoView({ block: "nearest" });
  }

  /** What is withdrawn is other than before: ask again for what is shown. */
  async #refresh() {
    this.kept.clear();
    questions.forget();
    this.#showCount();
    const found = await this.#find(this.question);
    if (found) this.#show(this.question, found);
  }

  #undo(ids, { kept, left }) {
    const count = ids.length === 1 ? "The picture was" : `${ids.length} pictures were`;
    const later = kept ? "" : " It could not be written down yet; that is tried again.";
    const copies = left ? ` Pictures that look like copies and are still there: ${left}.` : "";
    const undo = element("button", { type: "button" }, "Bring back");
    undo.addEventListener("click", async () => {
      undo.disabled = true;
      try {
        for (const id of ids) await questions.restore(id);
        this.withdrawn.show();
        await this.#refresh();
      } catch (error) {
        undo.disabled = false;
        this.#trouble(questions.told(error));
      }
    });
    const said = `${count} withdrawn.${later}${copies} `;
    return element("p", { className: "done" }, said, undo);
  }

  // What is said

  async #showCount() {
    const { pictures, standing } = await questions.collection().catch(() => ({ pictures: null }));
    if (standing) showStanding(standing);
    const count = document.getElementById("count");
    if (count && pictures !== null) count.textContent = `${number(pictures)} pictures.`;
  }

  #showSummary() {
    const { notices, query, pictures } = this.shown;
    const said = query === undefined ? ["From all over the collection"] : this.#asked();
    const heading = element("h2", {}, ...said);
    const listed = !questions.isAsked(this.question);
    this.part("explained").textContent =
      query === undefined ? INVITATION : !pictures.length ? "" : listed ? LISTED : NEARNESS;
    this.part("status").replaceChildren(heading, ...(notices ?? []).map(paragraph));
    document.title = query === undefined ? this.title : `${heading.textContent} · ${this.title}`;
  }

  /** What was asked, in words and nodes; what others have written is kept apart from ours. */
  #asked() {
    const { text, file } = this.question;
    const likes = this.shown.like.map((picture) => quoted(picture.title));
    const unlikes = this.shown.unlike.map((picture) => quoted(picture.title));
    const filtered = questions.isFiltered(this.question);
    if (file) likes.push("yours");
    if (!this.shown.pictures.length) return [filtered ? "No picture matches" : "There is no other picture"];
    if (!questions.isAsked(this.question)) return ["Pictures that match the filters"];
    const said = [];
    if (!likes.length && text.trim()) said.push("Nearest to ", quoted(text));
    if (likes.length) said.push("Pictures like ", ...listed(likes));
    if (likes.length && text.trim()) said.push(", together with ", quoted(text));
    if (unlikes.length) said.push(said.length ? ", less like " : "Pictures unlike ", ...listed(unlikes));
    return said;
  }

  /** Say how many these are, below them, and what the tables do, above. */
  #showEnd(trouble = "") {
    this.counts.show(this.shown.pictures);
    const { cursor, pictures, query, total } = this.shown;
    const order = questions.isAsked(this.question) ? ", the nearest first" : "";
    const atEnd = !cursor && query !== undefined && pictures.length > 0;
    this.part("more").hidden = !cursor;
    this.part("end").hidden = !atEnd && !trouble;
    this.part("end").textContent =
      trouble || (atEnd ? `These were ${number(total)} pictures${order}.` : "");
  }

  /** Say so if a link was made for another version of the collection. */
  async #showAge() {
    const { artifact_version: version } = await questions.collection().catch(() => ({}));
    if (!version || !questions.isOfAnother(location.search, version)) return;
    this.part("status").append(paragraph(CHANGED));
  }

  #busy(is) {
    this.part("found").setAttribute("aria-busy", String(is));
    if (is) this.part("status").replaceChildren(paragraph(SEARCHING));
    else if (this.part("status").textContent === SEARCHING) {
      if (this.shown) this.#showSummary();
      else this.part("status").replaceChildren();
    }
  }

  #trouble(text) {
    const line = this.part("trouble");
    line.textContent = this.panel.tell(text) ? "" : text;
    const { top, bottom } = line.getBoundingClientRect();
    if (line.textContent && (top < 0 || bottom > innerHeight)) line.scrollIntoView({ block: "center" });
  }

  #keepScroll() {
    if (this.shown) this.shown.scroll = scrollY;
  }
}

/** Several things with “and” between; of many only how many. */
const listed = (things) =>
  things.length > MOST_NAMED
    ? [`${things.length} others`]
    : things.flatMap((thing, place) => (place ? [" and ", thing] : [thing]));

const paragraph = (text) => element("p", {}, text);

/** Words of others in a sentence of ours: whichever way they run, ours runs on. */
const quoted = (text) => element("bdi", {}, `“${text.trim()}”`);

/** Say who is signed in, where people sign in. */
async function showYou() {
  const { name, role } = await questions.you().catch(() => ({ name: "" }));
  document.documentElement.dataset.role = role ?? ""; // style.css shows tabs to those who may
  if (["judge", "curator", "operator"].includes(role)) import("./judge.js");
  const line = document.getElementById("you");
  if (!line || !name) return;
  line.querySelector("strong").textContent = name;
  if (role !== "member") line.querySelector("strong").after(` (${role})`);
}

/** Say how far the collection was tested: here, and under About once Gradio puts that up. */
function showStanding({ said, verdict }) {
  const show = () => {
    for (const line of document.querySelectorAll(".standing")) line.textContent = said;
    for (const link of document.querySelectorAll(".tested")) link.hidden = verdict === "not tested";
    return document.querySelector("#about .standing") !== null;
  };
  if (show()) return;
  new MutationObserver((_, observer) => {
    if (document.querySelector("#about .standing") && show()) observer.disconnect();
  }).observe(document.body, { childList: true, subtree: true });
}

/** Gradio's tab that holds an element, brought to the front if another one is. */
function showTabOf(element) {
  if (element.offsetParent !== null) return;
  document.querySelector("[role=tab]")?.click(); // ours is the first
}

/** The id of the picture that an address opens, or null. */
const openIn = (search) => new URLSearchParams(search).get("picture");

const number = (count) => count.toLocaleString("en");

/** Gradio puts our part of the page up when it is ready. */
function start() {
  const root = document.getElementById("image-search");
  if (!root) return false;
  new Page(root);
  return true;
}

if (!start()) {
  new MutationObserver((_, observer) => start() && observer.disconnect()).observe(document, {
    childList: true,
    subtree: true,
  });
}
