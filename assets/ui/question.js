// A question: words, pictures of the collection (by id), a picture file of the visitor's own.
// Knows its place in the address, and how to ask it.

const API = new URL("../api/v1/", import.meta.url);

const LONGEST = 200_000; // what the server reads of an address, with some to spare

// Files that were searched with, by name, for back and forward; they live as long as this page.
const files = new Map();

/** Something to tell the visitor, as it is. */
class Problem extends Error {}

/** What there is to tell of an error; thrown on if that is nothing. */
export function told(error) {
  if (!(error instanceof Problem)) throw error;
  return error.message;
}

export const NOTHING = Object.freeze({ text: "", like: [], file: null });

export const isEmpty = (question) =>
  !question.text.trim() && !question.like.length && !question.file;

/** The question that an entry of the browser's history holds; `lost` if its file is gone. */
export function fromHistory(search, state) {
  const address = new URLSearchParams(search);
  const name = state?.file;
  return {
    text: address.get("text") ?? "",
    like: address.getAll("like"),
    file: files.get(name) ?? null,
    lost: name !== undefined && !files.has(name),
  };
}

/** The address of a question, with a picture opened or not. */
export function toAddress(question, picture = null) {
  const address = new URLSearchParams();
  if (question.text.trim()) address.set("text", question.text.trim());
  for (const id of question.like) address.append("like", id);
  if (picture !== null) address.set("picture", picture);
  return address.size ? `?${address}` : location.pathname;
}

/** What the browser's history has to keep besides the address: the name of a file. */
export function toState({ file }) {
  if (!file) return {};
  for (const [name, known] of files) if (known === file) return { file: name };
  const name = `${performance.timeOrigin} ${files.size}`; // another one after a reload
  files.set(name, file);
  return { file: name };
}

/** A name for a question: the same one has the same results. */
export const keyOf = (question) => JSON.stringify([toAddress(question), toState(question)]);

/** Results of a question, further ones with a cursor. Throws Problem. */
export function ask(question, cursor, signal) {
  const parameters = new URLSearchParams();
  if (question.text.trim()) parameters.set("text", question.text.trim());
  for (const id of question.like) parameters.append("like", id);
  if (cursor) parameters.set("cursor", cursor);
  if (parameters.toString().length > LONGEST) {
    throw new Problem("That is too long for a question. A short sentence in English works best.");
  }
  const options = question.file ? { method: "POST", body: question.file } : {};
  return get(`search?${parameters}`, { signal, ...options });
}

export let overview;
export let collection;

/** The collection has other pictures now: what was learnt of it before does not hold. */
export function forget() {
  overview = once(() => get("overview"));
  collection = once(() => get("collection"));
}
forget();

export const you = once(() => get("you"));
export const nearCopies = (id) => get(`near-copies/${encodeURIComponent(id)}`);
export const withdrawn = () => get("withdrawals");
export const withdraw = (ids, reason) => post("withdrawals", { ids, reason });
export const restore = (id) =>
  get(`withdrawals/${encodeURIComponent(id)}`, { method: "DELETE" });
export const record = (id) => get(`records/${encodeURIComponent(id)}`);
export const counts = (table, ids) =>
  get(`tables/${table}/counts?${new URLSearchParams(ids.map((id) => ["id", id]))}`);
export const top = (table, id) => get(`tables/${table}/top/${encodeURIComponent(id)}`);

/** The answer to a request that is made once, and again only if it failed. */
function once(request) {
  let answer = null;
  return () =>
    (answer ??= request().catch((error) => {
      answer = null;
      throw error;
    }));
}

function post(path, body) {
  const headers = { "Content-Type": "application/json" };
  return get(path, { method: "POST", headers, body: JSON.stringify(body) });
}

async function get(path, options = {}) {
  let response;
  try {
    response = await fetch(new URL(path, API), options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("The server does not answer. Check the connection and try again.");
  }
  if (response.status === 401) location.reload(); // the session has ended: sign in again
  const told = await response.json().catch(() => null);
  if (!response.ok || told === null) {
    throw new Problem(told?.detail ?? `The server cannot answer this (${response.status}).`);
  }
  return told;
}
