// What the pages need besides htmx: what a person opened stays open when a part of the page is replaced.
"use strict";

document.addEventListener("htmx:beforeSwap", (event) => {
  const open = [...event.detail.target.querySelectorAll("details[open][id]")];
  event.detail.target.kept = open.map((one) => ({ id: one.id, why: one.querySelector(".why") }));
});

document.addEventListener("htmx:afterSettle", (event) => {
  const kept = event.detail.target.kept ?? [];
  delete event.detail.target.kept;
  for (const { id, why } of kept) {
    const one = document.getElementById(id);
    if (!one) continue;
    const place = one.querySelector(".why");
    // What was asked for once need not be asked for again: a decision does not change.
    if (place && why) place.replaceWith(why);
    one.open = true;
  }
});

// A notice is about the last thing that was tried.
document.addEventListener("htmx:beforeRequest", (event) => {
  const config = event.detail.requestConfig;
  if (config?.verb !== "get") document.getElementById("notice").replaceChildren();
});

// The broker or the gateway is away, and no answer came at all.
document.addEventListener("htmx:sendError", () => {
  const said = document.createElement("p");
  said.className = "problem";
  said.textContent = "The gateway does not answer; what is shown may be old. It is tried again.";
  document.getElementById("notice").replaceChildren(said);
});
