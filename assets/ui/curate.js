// The curator's tab: reports and what was decided, notices, and what is asked of the collection.
// Loaded for curators alone.

import { addressOf, cover, isCovered, showing, uncover } from "./covers.js";
import { element } from "./element.js";
import * as questions from "./question.js";

const STYLE = new URL("curate.css", import.meta.url);
const HEIGHT = 72; // of the chart, in its own units
const DONE = { withdraw: "Withdrawn", cover: "Covered", nothing: "Nothing to do" };

class Curation {
  constructor(root) {
    this.part = (id) => root.querySelector(`#${id}`);
    const form = this.part("notice-form");
    form.addEventListener("submit", (event) => this.#addNotice(event, form));
    form.what.addEventListener("change", () => {
      const all = form.what.value === "everything";
      form.where.closest("label").hidden = all;
      form.where.required = !all;
    });
    // Asked for again whenever the tab is opened.
    new IntersectionObserver(([at]) => at.isIntersecting && this.show()).observe(root);
    addEventListener("covers", () => this.#showReports(this.reports));
  }

  async show() {
    await Promise.all([
      this.#ask(questions.reports, (reports) => this.#showReports(reports)),
      this.#ask(questions.notices, (notices) => this.#showNotices(notices)),
      this.#ask(questions.use, (use) => this.#showUse(use)),
    ]);
  }

  async #ask(question, show) {
    try {
      show(await question());
    } catch (error) {
      this.#say(questions.told(error));
    }
  }

  #say(text) {
    this.part("curation-said").textContent = text;
  }

  // Reports

  #showReports(reports) {
    if (!reports) return;
    this.reports = reports;
    const pictures = grouped(reports.open);
    const lines = [...pictures.values()].map((some) => this.#report(some));
    const here = document.activeElement?.closest("#reports > li")?.dataset.picture;
    this.part("reports").replaceChildren(...lines);
    lines.find(({ dataset }) => dataset.picture === here)?.querySelector("a, button").focus();
    if (!lines.length) this.part("reports").append(element("li", {}, "None is open."));
    const decided = reports.decided.map(decidedLine);
    const list = this.part("decided").querySelector("ul");
    list.replaceChildren(...(decided.length ? decided : [element("li", {}, "None yet.")]));
  }

  /** All open reports of one picture, and what can be decided on them. */
  #report(some) {
    const [{ picture, record }] = some;
    const place = element("div", { className: "deciding" });
    const offered = record ? ["withdraw", "cover", "nothing"] : ["nothing"];
    const labels = { withdraw: "Withdraw", cover: "Cover", nothing: "Nothing to do" };
    const buttons = offered.map((decision) => {
      const made = element("button", { type: "button" }, labels[decision]);
      made.addEventListener("click", () => {
        if (decision === "nothing") return this.#decide(some, decision, "", place);
        place.replaceChildren(this.#deciding(some, decision, place));
        // The second click is the last: what was reported is the reason already.
        place.querySelector(decision === "withdraw" ? ".main" : "input").focus();
      });
      return made;
    });
    const gone = element("p", {}, "It is not there any more.");
    const said = some.map(({ reason, words, time }) =>
      element("p", {}, element("strong", {}, reason), words ? `: ${words} ` : " ", when(time)),
    );
    const title = record
      ? element("a", { href: `?${new URLSearchParams({ picture })}` }, record.title)
      : element("bdi", {}, picture);
    const about = element(
      "div",
      {},
      element("h3", {}, title),
      ...said,
      ...(record ? [] : [gone]),
      element("div", { className: "decisions" }, ...buttons),
      place,
    );
    const line = element("li", {}, ...(record ? [small(record)] : []), about);
    line.dataset.picture = picture;
    return line;
  }

  #deciding(some, decision, place) {
    const withdraw = decision === "withdraw";
    const [{ reason, words }] = some;
    const why = element("input", { required: true, maxLength: withdraw ? 1000 : 200, autocomplete: "off" });
    if (withdraw) why.value = `Reported: ${reason}${words ? `: ${words}` : ""}`.slice(0, 1000);
    const label = withdraw ? "Reason, for those who come after you" : "The notice, such as: Shows violence";
    const now = element("button", { type: "submit", className: "main" }, withdraw ? "Withdraw now" : "Cover");
    const cancel = element("button", { type: "button" }, "Cancel");
    cancel.addEventListener("click", () => place.replaceChildren());
    const form = element("form", { className: "form" }, element("label", {}, label, why), now, cancel);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      now.disabled = true;
      this.#decide(some, decision, why.value, place);
    });
    return form;
  }

  async #decide([{ id, record }], decision, why, place) {
    try {
      await questions.decide(id, { decision, why });
      await this.show();
      const left = new Set(this.reports.open.map(({ picture }) => picture)).size;
      this.#say(`${DONE[decision]}${record ? `: ${record.title}` : ""}. Pictures with open reports: ${left}.`);
      this.part("curation-said").focus();
      dispatchEvent(new Event("curated"));
    } catch (error) {
      place.replaceChildren(element("p", { className: "trouble", role: "alert" }, questions.told(error)));
    }
  }

  // Notices

  #showNotices(notices) {
    const lines = notices.map((notice) => this.#notice(notice));
    this.part("notices").replaceChildren(...(lines.length ? lines : [element("li", {}, "None.")]));
  }

  #notice({ id, text, by, time, where, pictures, ids, everything }) {
    const named = ids.slice(0, 3).join(", ") + (pictures > 3 ? ` and ${pictures - 3} more` : "");
    const on = everything ? "all pictures" : where.length ? where.join(", ") : named;
    const said = element("span", {}, element("strong", {}, text), ` for ${on} (${by}, `, when(time), ")");
    const remove = element("button", { type: "button", ariaLabel: `Remove “${text}” for ${on}` }, "Remove");
    remove.addEventListener("click", async () => {
      remove.disabled = true;
      await this.#ask(
        () => questions.removeNotice(id),
        () => this.#changed(`“${text}” covers nothing any more.`),
      );
      remove.disabled = false;
    });
    return element("li", {}, said, remove);
  }

  async #addNotice(event, form) {
    event.preventDefault();
    const trouble = form.querySelector(".trouble");
    trouble.textContent = "";
    const everything = form.what.value === "everything";
    const notice = { text: form.text.value, everything, where: everything ? [] : [form.where.value] };
    try {
      const { covered } = await questions.addNotice(notice);
      form.reset();
      form.what.dispatchEvent(new Event("change"));
      await this.#changed(
        covered
          ? `Covered: ${plural(covered, "picture")}.`
          : `No picture has “${notice.where[0]}” now. The notice waits for those to come; if it ought ` +
              "to cover some already, remove it and look at how the value is spelt.",
      );
    } catch (error) {
      trouble.textContent = questions.told(error);
    }
  }

  async #changed(text) {
    await this.show();
    this.#say(text);
    this.part("curation-said").focus();
    dispatchEvent(new Event("curated"));
  }

  // Use

  #showUse({ days, searches, found_nothing: none, refused, nothing, refusals }) {
    const sum = `${plural(searches, "search", "searches")} in ${plural(days.length, "day")}; ${number(none)} found nothing close, ${number(refused)} were refused or asked first.`;
    const line = days.length
      ? sum
      : "No search is on record: either none was made, or they are not recorded here.";
    this.part("use").replaceChildren(element("p", {}, line), ...(days.length ? [chartOf(days)] : []));
    this.part("nothing").replaceChildren(tableOf(["Question", "Times"], nothing.map((one) => [one.words, one.count])));
    this.part("refused").replaceChildren(
      tableOf(["Rule", "Question", "Times"], refusals.map((one) => [one.rule, one.words, one.count])),
    );
  }
}

/** A picture of a report: covered if it is covered. */
function small(picture) {
  if (!isCovered(picture)) {
    const image = element("img", { src: addressOf(picture, "thumbnail"), alt: picture.title, loading: "lazy" });
    return element("div", { className: "small" }, image);
  }
  const show = showing(picture);
  show.addEventListener("click", () => uncover(picture));
  return element("div", { className: "small" }, cover(picture), show);
}

function decidedLine({ picture, record, reason, words, decision, why, decided_by: by, decided }) {
  const said = `${DONE[decision] ?? decision}${why ? `: ${why}` : ""} (${by}, `;
  const what = element("bdi", {}, record?.title ?? picture);
  const reported = ` · reported: ${reason}${words ? `: ${words}` : ""}`;
  return element("li", {}, element("strong", {}, what), ` ${said}`, when(decided), ")", reported);
}

/** Searches a day as bars, and as a table for those who hear it. */
function chartOf(days) {
  const most = Math.max(...days.map(({ searches }) => searches), 1);
  const svg = svgElement("svg", { viewBox: `0 0 ${days.length * 4} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  days.forEach(({ day, searches }, place) => {
    const height = (searches / most) * HEIGHT;
    const bar = svgElement("rect", { x: place * 4, y: HEIGHT - height, width: 3, height });
    const tip = svgElement("title", {});
    tip.textContent = `${day}: ${number(searches)}`;
    bar.append(tip);
    svg.append(bar);
  });
  const ends = [days[0].day, `most on one day: ${number(most)}`, days.at(-1).day];
  const axis = element("div", { className: "axis", ariaHidden: "true" }, ...ends.map((end) => element("span", {}, end)));
  const table = tableOf(["Day", "Searches"], days.map(({ day, searches }) => [day, searches]), "Searches by day");
  return element("div", { className: "days" }, svg, axis, element("div", { className: "unseen" }, table));
}

function tableOf(heads, rows, caption = "") {
  if (!rows.length) return element("p", {}, "None.");
  const head = element("tr", {}, ...heads.map((head) => element("th", { scope: "col" }, head)));
  const body = rows.map((row) =>
    element("tr", {}, ...row.map((cell) => element("td", { dir: "auto" }, typeof cell === "number" ? number(cell) : cell))),
  );
  const said = caption ? [element("caption", {}, caption)] : [];
  return element("table", {}, ...said, element("thead", {}, head), element("tbody", {}, ...body));
}

function svgElement(name, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const key in attributes) made.setAttribute(key, attributes[key]);
  return made;
}

/** The reports of each picture. */
function grouped(reports) {
  const groups = new Map();
  for (const one of reports) groups.set(one.picture, [...(groups.get(one.picture) ?? []), one]);
  return groups;
}

function when(time) {
  const shown = new Date(time).toLocaleDateString("en-GB", { day: "numeric", month: "long", year: "numeric" });
  return element("time", { dateTime: time }, shown);
}

const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;

const number = (count) => count.toLocaleString("en");

/** Gradio puts the tab up when it is opened first. */
function start() {
  const root = document.getElementById("curation");
  if (!root) return false;
  document.head.append(element("link", { rel: "stylesheet", href: STYLE }));
  new Curation(root);
  return true;
}

if (!start()) {
  new MutationObserver((_, observer) => start() && observer.disconnect()).observe(document, {
    childList: true,
    subtree: true,
  });
}
