// The pictures: justified rows of known sizes, moved through with the arrow keys.

import { addressOf, cover, isCovered, showing, uncover } from "./covers.js";
import { element } from "./element.js";

const GAP = 8; // pixels between pictures
const NARROWEST = 0.3; // width by height; what is longer is shown whole within this
const WIDEST = 4;
const BLURRED = 400; // pixels of a cell's width from which a small picture (256) looks blurred
const HOVER = matchMedia("(hover: hover)").matches; // else the open picture has these
const AT_ONCE = 12; // pictures that are loaded before anything is known of the screen

export class Grid {
  /** `list` is the ul; `onOpen(index)` is called when a picture is opened, `onEnd` at the last,
   * `onChoose(index, how)` when more or less like it is wanted, or it is selected; `isChosen(id)`
   * says whether that it is. */
  constructor(list, { addressOf, onOpen, onEnd, onChoose, isChosen }) {
    Object.assign(this, { list, addressOf, onOpen, onEnd, onChoose, isChosen });
    this.current = 0;
    this.width = 0;
    list.style.gap = `${GAP}px`;
    list.addEventListener("click", (event) => this.#click(event));
    list.addEventListener("keydown", (event) => this.#key(event));
    list.addEventListener("focusin", (event) => this.#setCurrent(this.#indexOf(event.target)));
    addEventListener("covers", () => this.#showCovers());
    new ResizeObserver(() => this.#layoutIfResized()).observe(list);
  }

  show(pictures) {
    this.list.replaceChildren();
    this.current = 0;
    this.append(pictures);
  }

  append(pictures) {
    const start = this.list.children.length;
    this.list.append(...pictures.map((picture, place) => this.#cell(picture, start + place)));
    this.#layout();
    if (!start && pictures.length) this.#setCurrent(0);
  }

  /** Say which pictures are selected. */
  showChosen(pictures) {
    pictures.forEach(({ id }, index) => this.#markChosen(this.list.children[index], id));
  }

  #markChosen(cell, id) {
    const chosen = this.isChosen(id);
    cell.classList.toggle("chosen", chosen);
    const button = cell.querySelector('[data-how="select"]');
    if (button) button.ariaPressed = String(chosen);
  }

  /** Say which pictures are covered now. */
  #showCovers() {
    for (const cell of this.list.children) {
      if (isCovered(cell.picture) === Boolean(cell.querySelector(".cover"))) continue;
      const focused = cell.contains(document.activeElement);
      this.#fill(cell, "lazy");
      if (focused) cell.firstChild.focus();
    }
    this.#layout();
  }

  /** Move the keyboard to a picture. */
  focus(index) {
    this.#setCurrent(index);
    this.#link(index)?.focus();
  }

  /** Do something that changes the grid's width, and keep a picture where it is on the screen. */
  holding(index, change) {
    const cell = this.list.children[index];
    const before = cell?.getBoundingClientRect().top;
    change();
    this.#layoutIfResized();
    if (!cell) return;
    scrollBy({ top: cell.getBoundingClientRect().top - before, behavior: "instant" });
    cell.scrollIntoView({ block: "nearest", behavior: "instant" });
  }

  /** Say which picture is open, for the eye and for a screen reader; -1 for none. */
  mark(index) {
    for (const link of this.list.querySelectorAll("[aria-current]")) {
      link.removeAttribute("aria-current");
    }
    this.#link(index)?.setAttribute("aria-current", "true");
  }

  #layoutIfResized() {
    if (this.#widthNow() !== this.width) this.#layout();
  }

  /** In whole pixels, never more than there is: a row that is too long would break. */
  #widthNow() {
    return Math.floor(this.list.getBoundingClientRect().width);
  }

  /** Break the pictures into rows as near to the wished height as can be, and size them. */
  #layout() {
    this.width = this.#widthNow();
    if (!this.width) return;
    const wished = Math.round(Math.min(240, Math.max(150, this.width / 5.5)));
    let row = [];
    let shape = 0; // width of the row by its height, without gaps
    const heightOf = (shape, count) => (this.width - GAP * (count - 1)) / shape;
    const finish = (height) => {
      for (const cell of row) {
        const width = Math.floor(cell.shape * height * 100) / 100;
        const image = cell.querySelector("img, .cover");
        cell.style.width = `${width}px`;
        image.style.height = `${height}px`;
        if (width > BLURRED && image.dataset.large) {
          image.src = image.dataset.large;
          delete image.dataset.large;
        }
      }
      row = [];
      shape = 0;
    };
    for (const cell of this.list.children) {
      const longer = heightOf(shape + cell.shape, row.length + 1);
      if (row.length && longer < wished) {
        const shorter = heightOf(shape, row.length);
        if (shorter / wished < wished / longer) finish(shorter);
      }
      row.push(cell);
      shape += cell.shape;
      const height = heightOf(shape, row.length);
      if (height <= wished) finish(height);
    }
    if (row.length) finish(Math.min(wished, heightOf(shape, row.length)));
  }

  #cell(picture, index) {
    const shape = Math.min(WIDEST, Math.max(NARROWEST, picture.width / picture.height));
    const to = { href: this.addressOf(picture.id), tabIndex: -1, draggable: false };
    const cell = element("li", { shape, picture }, element("a", to));
    this.#fill(cell, index < AT_ONCE ? "eager" : "lazy");
    if (HOVER) cell.append(choices(picture));
    this.#markChosen(cell, picture.id);
    return cell;
  }

  /** Put a picture, or what covers it, into its cell. */
  #fill(cell, loading) {
    const { picture, firstChild: link } = cell;
    const covered = isCovered(picture);
    link.replaceChildren(covered ? cover(picture) : imageOf(picture, loading), caption(picture));
    cell.querySelector(".show")?.remove();
    if (covered) link.after(showing(picture, { tabIndex: link.tabIndex }));
  }

  #click(event) {
    const choice = event.target.closest("button");
    // Of a double click the second one would meet whatever picture has come there by then.
    if (choice && event.detail > 1) return;
    if (choice?.matches(".show")) return uncover(choice.closest("li").picture);
    if (choice) return this.onChoose(this.#indexOf(choice), choice.dataset.how);
    const link = event.target.closest("a");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    this.onOpen(this.#indexOf(link));
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches("button") && [" ", "Enter"].includes(event.key)) return;
    const last = this.list.children.length - 1;
    const places = {
      ArrowRight: () => this.current + 1,
      ArrowLeft: () => this.current - 1,
      ArrowDown: () => this.#inNextRow(1),
      ArrowUp: () => this.#inNextRow(-1),
      Home: () => 0,
      End: () => last,
    };
    if (!(event.key in places)) return;
    event.preventDefault();
    const place = places[event.key]();
    if (place > last) this.onEnd();
    if (place >= 0 && place <= last) this.focus(place);
  }

  /** The picture below (1) or above (-1) the current one; out of range if there is none. */
  #inNextRow(step) {
    const cells = this.list.children;
    const here = cells[this.current];
    const centre = here.offsetLeft + here.offsetWidth / 2;
    let best = step > 0 ? cells.length : -1;
    let least = Infinity;
    let top = null;
    for (let i = this.current + step; cells[i]; i += step) {
      if (cells[i].offsetTop === here.offsetTop) continue;
      top ??= cells[i].offsetTop;
      if (cells[i].offsetTop !== top) break;
      const distance = Math.abs(cells[i].offsetLeft + cells[i].offsetWidth / 2 - centre);
      if (distance < least) [best, least] = [i, distance];
    }
    return best;
  }

  /** One picture takes part in the order of the tab key: the one that was last come to. */
  #setCurrent(index) {
    this.#setTab(this.current, -1);
    this.current = index;
    this.#setTab(index, 0);
  }

  #setTab(index, place) {
    const cell = this.list.children[index];
    for (const one of cell?.querySelectorAll("a, button") ?? []) one.tabIndex = place;
  }

  #link(index) {
    return this.list.children[index]?.firstChild;
  }

  #indexOf(element) {
    return [...this.list.children].indexOf(element.closest("li"));
  }
}

function imageOf(picture, loading) {
  const image = element("img", { alt: picture.title, loading, decoding: "async", draggable: false });
  image.addEventListener("load", () => image.classList.add("loaded"));
  image.src = addressOf(picture, "thumbnail");
  image.dataset.large = addressOf(picture, "picture");
  return image;
}

const CHOICES = { like: ["+", "More like"], unlike: ["−", "Less like"], select: ["✓", "Select"] };

/** What can be done with a picture without opening it. */
function choices({ title }) {
  const buttons = Object.entries(CHOICES).map(([how, [sign, label]]) => {
    const tip = how === "select" ? "Select, to save or cite" : `${label} this`;
    const made = element("button", { type: "button", tabIndex: -1, title: tip }, sign);
    made.ariaLabel = `${label} “${title}”`;
    made.dataset.how = how;
    return made;
  });
  return element("span", { className: "choices" }, ...buttons);
}

/** Title, credit and nearness; what the credit line says of the title is not said twice. */
function caption(picture) {
  const lines = element("span", { className: "caption" });
  const add = (className, text) => {
    const line = element("span", { className, dir: "auto" }, text);
    lines.append(line);
    return line;
  };
  add("title", picture.title).ariaHidden = "true"; // it is the picture's name
  const credit = picture.credit.replace(`${picture.title}. `, "");
  if (credit) add("credit", credit);
  if (picture.score !== undefined && picture.score !== null) {
    const label = element("span", { className: "label" }, "nearness ");
    add("score", picture.score.toFixed(2)).prepend(label);
  }
  return lines;
}
