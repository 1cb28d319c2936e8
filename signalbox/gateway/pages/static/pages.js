// What the pages need besides htmx: when a part of a page is replaced, what a person opened stays open, who is in it stays
// where they are, and nothing is said twice.
"use strict";

const notice = document.getElementById("notice");
const FOCUSABLE = "a[href], button, summary, input, select, textarea, [tabindex]";
// What could not be brought up to date; the notice is about it.
let failed = null;
// Where a form was sent from.
let sentFrom = null;

function shows(target, text) {
  const made = document.createElement("template");
  made.innerHTML = text;
  return made.innerHTML === target.innerHTML;
}

function likeIn(root, one) {
  const name = (each) => `${each.tagName} ${each.getAttribute("href") ?? each.closest("[id]").id}`;
  return [...root.querySelectorAll(FOCUSABLE)].filter((each) => name(each) === name(one));
}

function tell(words, elt) {
  failed = elt;
  if (notice.textContent === words) return;
  const said = document.createElement("p");
  said.className = "problem";
  said.textContent = words;
  notice.replaceChildren(said);
}

function goesOn(elt) {
  if (failed !== elt) return;
  failed = null;
  notice.replaceChildren();
}

document.addEventListener("htmx:beforeSwap", (event) => {
  const { target, serverResponse, requestConfig } = event.detail;
  if (requestConfig.verb === "get" && shows(target, serverResponse)) {
    event.detail.shouldSwap = false;
    return;
  }
  const open = [...target.querySelectorAll("details[open][id]")];
  target.kept = open.map((one) => ({ id: one.id, why: one.querySelector(".why") }));
  const at = document.activeElement;
  // What has an id htmx finds again itself.
  if (at !== target && target.contains(at) && !at.id) target.at = { at, index: likeIn(target, at).indexOf(at) };
});

document.addEventListener("htmx:afterSettle", (event) => {
  const { target } = event.detail;
  const { kept = [], at } = target;
  delete target.kept;
  delete target.at;
  for (const { id, why } of kept) {
    const one = document.getElementById(id);
    if (!one) continue;
    const place = one.querySelector(".why");
    // What was asked for once need not be asked for again: a decision does not change.
    if (place && why) place.replaceWith(why);
    one.open = true;
  }
  if (at && document.activeElement === document.body) likeIn(target, at.at)[at.index]?.focus({ preventScroll: true });
});

// A notice is about the last thing that was tried.
document.addEventListener("htmx:beforeRequest", (event) => {
  if (event.detail.requestConfig?.verb === "get") return;
  failed = null;
  notice.replaceChildren();
  sentFrom = document.activeElement;
});

document.addEventListener("htmx:afterRequest", (event) => {
  const { requestConfig, successful } = event.detail;
  if (requestConfig.verb === "get") {
    if (successful) goesOn(requestConfig.elt);
    else failed = requestConfig.elt;
    return;
  }
  // A button that was disabled meanwhile has lost it.
  if (sentFrom?.isConnected && document.activeElement === document.body) sentFrom.focus({ preventScroll: true });
  sentFrom = null;
});

// The broker or the gateway is away, and no answer came at all.
document.addEventListener("htmx:sendError", (event) => {
  const elt = event.detail.requestConfig.elt;
  tell("The gateway does not answer; what is shown may be old. It is tried again.", elt);
});

document.addEventListener("htmx:sseError", (event) => {
  tell("No news comes from the gateway; what is shown may be old. It is tried again.", event.target);
});
document.addEventListener("htmx:sseOpen", (event) => goesOn(event.target));
