// Pictures that a notice covers, until a visitor asks for them: one, or all with the same notice.
// What was asked for is forgotten when the page is left. The server covers by itself: the plain
// address of a covered picture never has its pixels.

import { element } from "./element.js";

const ids = new Set();
const notices = new Set();

export const isCovered = ({ id, notice }) => Boolean(notice) && !ids.has(id) && !notices.has(notice);

/** The address of a picture's file, or of its thumbnail: with pixels if they were asked for. */
export const addressOf = (picture, what) =>
  picture.notice && !isCovered(picture) ? `${picture[what]}&shown=1` : picture[what];

/** What a picture is called for those who do not see it. */
export const nameOf = (picture) =>
  isCovered(picture) ? `${picture.title}. Covered: ${picture.notice}` : picture.title;

/** Show a picture, or all with its notice, until the page is left; the event tells who shows it. */
export function uncover({ id, notice }, all = false) {
  if (all) notices.add(notice);
  else ids.add(id);
  dispatchEvent(new Event("covers"));
}

/** A notice has come to a picture, or another one: it counts even for who has seen the picture. */
export function recover({ id, notice }) {
  ids.delete(id);
  notices.delete(notice);
  dispatchEvent(new Event("covers"));
}

/** What stands in the place of a picture. */
export const cover = (picture) =>
  element("span", { className: "cover", role: "img", ariaLabel: nameOf(picture) }, picture.notice);

/** Shows a picture where it is covered. */
export const showing = (picture, properties = {}) =>
  element(
    "button",
    { type: "button", className: "show", ariaLabel: `Show “${picture.title}”`, ...properties },
    "Show",
  );
