
"use strict";

// Everything that is shown is put in as text: names of seasons and students are data.
function element(tag, { class: names, text, ...attributes } = {}, children = []) {
  const node = document.createElement(tag);
  if (names) node.className = names;
  if (text !== undefined) node.textContent = text;
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

const byId = (id) => document.getElementById(id);

// Sets what differs only, so that screen readers and selections are left in peace.
function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function setData(node, name, value) {
  if (value === undefined) delete node.dataset[name];
  else if (node.dataset[name] !== value) node.dataset[name] = value;
}

// Whether a button may be used. It is not `disabled`: that takes the keyboard from who stands on it.
function allow(button, may) {
  const off = String(!may);
  if (button.getAttribute("aria-disabled") !== off) button.setAttribute("aria-disabled", off);
}

// Does what a button is for, while it may be used.
function onUse(button, act) {
  button.addEventListener("click", () => {
    if (button.getAttribute("aria-disabled") !== "true") act();
  });
}

const count = (n) => n.toLocaleString("en");

function bytes(n) {
  const units = ["B", "KB", "MB", "GB", "TB"];
  let unit = 0;
  let value = n;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit && value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

function seconds(s) {
  if (s < 1) return `${Math.round(s * 1000)} ms`;
  if (s < 10) return `${s.toFixed(1)} s`;
  if (s < 90) return `${Math.round(s)} s`;
  if (s < 5400) return `${Math.round(s / 60)} min`;
  return s < 172800 ? `${Math.round(s / 3600)} h` : `${Math.round(s / 86400)} days`;
}

// A time in UTC, in the zone of whoever looks.
function stamp(utc) {
  const at = new Date(/[zZ]$/.test(utc) ? utc : `${utc}Z`);
  if (Number.isNaN(at.getTime())) return utc;
  return at.toLocaleString([], { year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });
}

function say(level, text) {
  const message = element("div", { class: "message" }, [element("span", { text })]);
  message.dataset.level = level;
  const close = element("button", { type: "button", text: "Close" });
  close.addEventListener("click", () => message.remove());
  message.append(close);
  byId("messages").append(message);
  // What went wrong stays until somebody has seen it.
  if (level !== "bad") setTimeout(() => message.remove(), 12000);
}
