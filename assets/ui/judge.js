// The tab Judge: one picture at a time, and whether it shows what a class names. page.js loads this
// for those who may. What is said is shown as said at once, and sent behind the judge's back.

import * as covers from "./covers.js";
import { element } from "./element.js";
import { Curator, plural } from "./judge-curator.js";
import * as questions from "./question.js";

const AHEAD = 5; // pictures that are loaded before they are needed
const FEW = 10; // so many left, further ones are asked for
const TRY_AGAIN = 5_000; // milliseconds
const SMALLEST = 480; // pixels: smaller pictures are shown larger
const KEYS = { y: "yes", n: "no", u: "unsure", "?": "unsure", z: "back", backspace: "back", arrowleft: "back", s: "show" };
const SAID = { yes: "Yes.", no: "No.", unsure: "Unsure." };
const TYPED = "input, textarea, select, [contenteditable]";
const NARROW = matchMedia("(max-width: 800px)");
const CURATORS = ["curator", "operator"];

class Judging {
  constructor(root, role, name) {
    this.root = root;
    this.name = name;
    this.part = (id) => root.querySelector(`#judge-${id}`);
    this.classes = []; // as the server has them; `judged` is counted on here
    this.now = null; // the class that is judged
    this.said = []; // the answers of this judge, the last one at the end
    this.lists = new Map(); // of each class by name: pictures to judge, and whether these are all
    this.outbox = new Outbox((text) => this.#trouble(text));
    this.part("answers").addEventListener("click", ({ target }) => {
      const button = target.closest("button");
      if (button) this.#do(button.dataset.answer ?? "back");
    });
    this.part("again").addEventListener("click", () => this.#do("back"));
    this.part("on").addEventListener("click", () => this.#tell(() => this.#open(this.#unfinished())));
    document.addEventListener("keydown", (event) => this.#key(event), { capture: true });
    addEventListener("beforeunload", (event) => this.outbox.isEmpty || event.preventDefault());
    if (CURATORS.includes(role)) new Curator(this.part, () => this.load());
    this.mayWrite = CURATORS.includes(role);
  }

  /** Ask what there is to judge, and show the first picture. */
  load() {
    return this.#tell(async () => {
      await this.outbox.restore(this.name);
      const standing = await questions.get("judging");
      this.part("wait").hidden = true;
      this.part("none").hidden = Boolean(standing.sha256);
      this.part("bench").hidden = !standing.sha256;
      this.part("ask").hidden = this.mayWrite;
      if (!standing.sha256) return;
      this.outbox.taxonomy = standing.sha256;
      this.classes = standing.classes;
      this.said = standing.latest.reverse();
      this.lists.clear();
      const latest = this.said.at(-1)?.class_name;
      const on = this.classes.find((one) => one.name === latest && one.judged < one.pictures);
      await this.#open(on ?? this.#unfinished());
      // Keys are for the picture now; else the tab would be framed as the place where one is.
      if (document.activeElement?.role === "tab") this.part("question").focus({ preventScroll: true });
    });
  }

  /** Show the first picture of a class that is not judged yet; without one say that all is done. */
  async #open(one) {
    if (!one) return this.#between();
    this.now = one;
    if (!this.lists.has(one.name)) await this.#fetch(one);
    if (this.now === one) this.#show();
  }

  /** Ask for pictures of a class. Of some the server may not have heard yet that they are judged. */
  async #fetch(one) {
    const told = await questions.get(`judging/next?${new URLSearchParams({ class: one.name })}`);
    const judged = new Set(this.said.filter(isOf(one)).map(({ picture }) => picture.id));
    const before = this.lists.get(one.name)?.pictures ?? [];
    const known = new Set([...judged, ...before.map(({ id }) => id)]);
    const pictures = [...before, ...told.pictures.filter(({ id }) => !known.has(id))];
    this.lists.set(one.name, { pictures, all: told.left <= told.pictures.length });
  }

  #show() {
    const list = this.lists.get(this.now.name);
    const [picture] = list.pictures;
    if (!picture) return this.#between();
    this.part("one").hidden = false;
    this.part("between").hidden = true;
    this.#showClasses();
    this.part("question").querySelector("bdi").textContent = this.now.name;
    this.part("about").hidden = !this.now.about;
    this.part("about").querySelector("p").textContent = this.now.about;
    this.part("back").disabled = !this.said.length;
    const { judged, pictures } = this.now;
    Object.assign(this.part("far").querySelector("progress"), { value: judged, max: pictures });
    this.part("far").querySelector("span").textContent = `${judged} of ${pictures}`;
    this.#showPicture(picture);
    for (const next of list.pictures.slice(1, 1 + AHEAD)) loaded(next);
    if (NARROW.matches && this.shownOf !== this.now) this.part("one").scrollIntoView();
    this.shownOf = this.now;
    if (list.pictures.length <= FEW && !list.all && !list.busy) this.#fetchMore(list);
  }

  async #fetchMore(list) {
    list.busy = true;
    const one = this.now;
    await this.#tell(() => this.#fetch(one));
    list.busy = false;
  }

  #showPicture(picture) {
    this.cover = null;
    if (covers.isCovered(picture)) return this.#showCover(picture);
    const image = (this.shown = loaded(picture));
    const ratio = picture.width / picture.height;
    const widest = Math.max(picture.width, Math.min(SMALLEST, SMALLEST * ratio));
    image.style.width = `min(100%, ${widest}px, var(--tall) * ${ratio})`;
    image.style.aspectRatio = String(ratio);
    this.glimpsed = null;
    if (!isLoaded(image)) {
      const small = Object.assign(new Image(), { src: covers.addressOf(picture, "thumbnail") });
      small.onload = () => (this.glimpsed = image);
      image.style.backgroundImage = `url("${covers.addressOf(picture, "thumbnail")}")`;
      image.onload = () => image.style.removeProperty("background-image");
      image.onerror = () => {
        if (this.shown !== image) return;
        this.#trouble("This picture cannot be shown at the moment. Say “Unsure”, or load the page again.");
        this.glimpsed = image;
      };
    }
    this.part("picture").replaceChildren(image);
  }

  /** A picture that a notice covers: a judge may look, or say “unsure” and go on. */
  #showCover(picture) {
    const show = () => {
      covers.uncover(picture);
      this.#showPicture(picture);
    };
    const key = element("kbd", { ariaHidden: "true" }, "S");
    const button = covers.showing(picture, { onclick: show });
    button.setAttribute("aria-keyshortcuts", "S");
    button.append(" ", key);
    this.shown = null;
    this.cover = show;
    this.part("picture").replaceChildren(
      element("div", { className: "covering" }, covers.cover(picture), button),
    );
  }

  /** Whether the picture that is asked about can be seen, or it is known that it cannot. */
  get #isSeen() {
    return Boolean(this.shown) && (isLoaded(this.shown) || this.glimpsed === this.shown);
  }

  #do(what) {
    if (what === "back") return this.#back();
    if (what === "show") return this.cover?.();
    // Nobody judges what they have not seen.
    if (this.part("one").hidden || !(this.#isSeen || this.cover)) return undefined;
    if (this.cover && what !== "unsure") {
      this.part("said").textContent = "Show the picture first (S), or say “Unsure”.";
      return undefined;
    }
    this.shown = this.cover = null;
    const list = this.lists.get(this.now.name);
    const picture = list.pictures.shift();
    this.said.push({ class_name: this.now.name, picture, answer: what });
    this.now.judged += 1;
    if (!this.outbox.failed) this.#trouble("");
    this.outbox.put({ class_name: this.now.name, id: picture.id, answer: what });
    this.#say(SAID[what]);
    return this.#tell(async () => {
      if (!list.pictures.length && !list.all) await this.#fetch(this.now);
      this.#show();
    });
  }

  /** Take the last answer back, and show its picture again. */
  #back() {
    const last = this.said.pop();
    if (!last) return undefined;
    const one = this.classes.find(({ name }) => name === last.class_name);
    one.judged -= 1;
    this.outbox.put({ class_name: one.name, id: last.picture.id, answer: null });
    this.now = one;
    return this.#tell(async () => {
      if (!this.lists.has(one.name)) await this.#fetch(one);
      const list = this.lists.get(one.name);
      const others = list.pictures.filter(({ id }) => id !== last.picture.id);
      list.pictures = [last.picture, ...others];
      this.#show();
      this.#say(`Taken back: ${SAID[last.answer]}`);
    });
  }

  /** A class is done, or all are: nobody should answer the next question by the way. */
  #between() {
    const done = this.now && this.#isDone(this.now) ? this.now : null;
    const next = this.#unfinished();
    const count = this.classes.reduce((sum, { judged }) => sum + judged, 0);
    this.part("one").hidden = true;
    this.part("between").hidden = false;
    this.part("on").hidden = !next;
    this.part("again").hidden = !this.said.length;
    const title = this.part("between").querySelector("h2");
    const text = this.part("between").querySelector("p");
    if (next) {
      title.replaceChildren("Done: ", element("bdi", {}, done?.name ?? ""));
      text.replaceChildren("Next: does it show ", element("bdi", {}, next.name), "?");
    } else {
      const all = this.classes.length === 1 ? "the class" : `all ${this.classes.length} classes`;
      title.textContent = "Thank you. That was all.";
      text.textContent = `You have judged ${plural(count, "picture")} of ${all}.`;
    }
    this.#showClasses();
    (next ? this.part("on") : title).focus({ preventScroll: true });
  }

  #unfinished() {
    const from = this.classes.indexOf(this.now) + 1;
    const round = [...this.classes.slice(from), ...this.classes.slice(0, from)];
    return round.find((one) => !this.#isDone(one));
  }

  #isDone(one) {
    const list = this.lists.get(one.name);
    return list ? list.all && !list.pictures.length : one.judged >= one.pictures;
  }

  #showClasses() {
    const lines = this.classes.map((one) => {
      const button = element("button", { type: "button" });
      const far = { value: one.judged, max: one.pictures, ariaHidden: "true" };
      button.append(
        element("bdi", {}, one.name),
        element("span", {}, `${one.judged} of ${one.pictures}`),
        element("progress", far),
      );
      if (one === this.now && !this.part("one").hidden) button.setAttribute("aria-current", "true");
      button.addEventListener("click", () => this.#tell(() => this.#open(one)));
      return element("li", {}, button);
    });
    const focused = [...this.part("classes").querySelectorAll("button")].indexOf(document.activeElement);
    this.part("classes").replaceChildren(...lines);
    if (focused >= 0) lines[focused]?.querySelector("button").focus();
    const current = this.part("classes").querySelector("[aria-current]");
    if (current) this.part("classes").scrollLeft = current.offsetLeft - this.part("classes").offsetLeft;
  }

  #key(event) {
    const does = KEYS[event.key.toLowerCase()];
    if (!does || this.root.offsetParent === null || this.part("bench").hidden) return;
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.(TYPED)) return;
    event.preventDefault();
    event.stopPropagation(); // the panel of the other tab knows arrows too
    if (!event.repeat) this.#do(does);
  }

  #say(text) {
    const { judged, pictures } = this.now;
    this.part("said").textContent = `${text} ${judged} of ${pictures}.`;
  }

  /** Do something that asks the server; of a failure the judge is told. */
  async #tell(action) {
    try {
      await action();
    } catch (error) {
      this.#trouble(questions.told(error));
    }
  }

  #trouble(text) {
    this.part("trouble").textContent = text;
  }
}

/** Answers on their way to the server, in their order. A reload does not lose them. */
class Outbox {
  constructor(trouble) {
    this.trouble = trouble;
    this.taxonomy = "";
    this.waiting = [];
    this.sending = null;
    this.failed = false;
  }

  get isEmpty() {
    return !this.waiting.length;
  }

  put(answer) {
    this.waiting.push({ taxonomy: this.taxonomy, ...answer });
    this.#remember();
    this.sending ??= this.#send();
  }

  /** Wait until all has arrived. */
  async sent() {
    while (this.sending) await this.sending;
  }

  /** Send what this judge could not before the page was loaded again. */
  async restore(name) {
    this.key = `judged by ${name}`;
    if (!this.isEmpty) return this.sent();
    this.waiting = JSON.parse(sessionStorage.getItem(this.key) ?? "[]");
    if (!this.isEmpty) this.sending ??= this.#send();
    return this.sent();
  }

  async #send() {
    while (!this.isEmpty) {
      const { taxonomy } = this.waiting[0];
      const end = this.waiting.findIndex((one) => one.taxonomy !== taxonomy);
      const batch = this.waiting.slice(0, Math.min(end < 0 ? Infinity : end, 200));
      const answers = batch.map(({ class_name, id, answer }) => ({ class_name, id, answer }));
      try {
        await questions.post("judgements", { taxonomy, answers }, { keepalive: true });
        this.waiting.splice(0, batch.length);
        this.#remember();
        if (this.failed) this.trouble("");
        this.failed = false;
      } catch (error) {
        this.failed = true;
        const count = plural(this.waiting.length, "answer");
        this.trouble(`${questions.told(error)} (${count} not kept yet; this goes on trying.)`);
        await new Promise((done) => setTimeout(done, TRY_AGAIN));
      }
    }
    this.sending = null;
  }

  #remember() {
    if (this.isEmpty) sessionStorage.removeItem(this.key);
    else sessionStorage.setItem(this.key, JSON.stringify(this.waiting));
  }
}

const isOf = ({ name }) => ({ class_name }) => class_name === name;

const isLoaded = (image) => image.complete && image.naturalWidth > 0;

const images = new Map();

/** The picture's own image, which is being loaded; the last few are kept. */
function loaded(picture) {
  const { id, title, width, height } = picture;
  if (covers.isCovered(picture)) return null;
  const known = images.get(id);
  if (!known || (known.complete && !isLoaded(known))) { // another try, if it could not be had
    images.set(id, Object.assign(new Image(width, height), { alt: title, src: covers.addressOf(picture, "picture") }));
    if (images.size > 4 * AHEAD) images.delete(images.keys().next().value);
  }
  return images.get(id);
}

/** Gradio puts a tab up when it likes; what is to be seen there is asked for when it is seen. */
function start(role, name) {
  const root = document.getElementById("judging");
  if (!root) return false;
  const judging = new Judging(root, role, name);
  let begun = false;
  new IntersectionObserver(() => {
    const shown = root.offsetParent !== null;
    if (shown && !begun) judging.load();
    if (shown) begun = true;
    sessionStorage.setItem("tab", shown ? "judge" : "");
  }).observe(root);
  return true;
}

/** Whoever loads the page again goes on here. */
function comeBack() {
  const [how] = performance.getEntriesByType("navigation");
  if (how?.type !== "reload" || sessionStorage.getItem("tab") !== "judge") return;
  document.getElementById("judge-button")?.click();
}

const style = new URL("judge.css", import.meta.url).href;
document.head.append(element("link", { rel: "stylesheet", href: style }));
const { role, name } = await questions.you();
comeBack();
if (!start(role, name)) {
  new MutationObserver((_, observer) => start(role, name) && observer.disconnect()).observe(
    document,
    { childList: true, subtree: true },
  );
}
