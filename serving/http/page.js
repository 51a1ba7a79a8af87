"use strict";
(() => {
  const at = (id) => document.getElementById(id);
  const RULES = {
    factors: "from the visitor's trained factors",
    projection: "computed from the visitor's items",
    live: "computed from the visitor's items and views of today",
    popularity: "popular items: the model knows too little about this visitor",
  };
  const phone = matchMedia("(max-width: 640px)");
  let visitor = "", openedBy = null, latest = 0;

  // A count has no decimals, and nothing is shown as -0.000.
  const figure = (value) => (Number.isInteger(value) ? value.toLocaleString("en") : value.toFixed(Math.abs(value) < 10 ? 3 : 1).replace(/^-(0\.0*)$/, "$1"));

  // Ids are strings, or {b64: ...} if they are not UTF-8.
  const bytes = (id) => (typeof id === "string" ? new TextEncoder().encode(id) : Uint8Array.from(atob(id.b64), (c) => c.charCodeAt(0)));
  const percentEncoded = (id) => Array.from(bytes(id), (byte) => "%" + byte.toString(16).padStart(2, "0")).join("");
  const shown = (id) => (typeof id === "string" ? id : "base64 " + id.b64);

  const get = async (path, query) => {
    const text = Object.entries(query).map(([name, value]) => name + "=" + percentEncoded(value)).join("&");
    const response = await fetch(path + (text ? "?" + text : ""));
    const answer = await response.json();
    if (!response.ok) throw new Error(answer.error || "the server answered " + response.status);
    return answer;
  };

  const say = (text, wrong) => {
    at("message").textContent = text;
    at("message").classList.toggle("wrong", Boolean(wrong));
  };

  const element = (name, className, text) => {
    const created = document.createElement(name);
    created.className = className;
    created.textContent = text;
    return created;
  };

  // A bar whose share is 0 to 1 of the widest.
  const bar = (share) => {
    const created = element("span", share < 0 ? "bar minus" : "bar", "");
    created.style.width = Math.max(0.5, 100 * Math.abs(share)).toFixed(2) + "%";
    return created;
  };

  const fill = (list, lines, key, empty) => {
    const widest = Math.max(1e-12, ...lines.map((line) => Math.abs(line[key])));
    const alike = key === "rating" && lines.every((line) => line[key] === lines[0][key]); // tells nothing
    list.replaceChildren(...lines.map((line) => {
      const item = document.createElement("li"), button = document.createElement("button");
      button.type = "button";
      button.setAttribute("aria-expanded", "false");
      button.append(element("span", "title", line.title || shown(line.contentId)));
      if (!alike) button.append(element("span", "value", figure(line[key])));
      if (line.category) button.append(element("span", "category", line.category));
      if (!alike) button.append(bar(line[key] / widest));
      button.addEventListener("click", () => open(line, button));
      item.append(button);
      return item;
    }));
    if (!lines.length) list.append(element("li", "none", empty));
  };

  const show = async (id) => {
    const request = ++latest;
    visitor = id;
    close(false);
    say("Loading ...");
    try {
      const [history, recommended] = await Promise.all([get("history", { visitorId: id, k: "20" }), get("recommendations", { visitorId: id, k: "20" })]);
      if (request !== latest) return; // another visitor was asked for in the meantime
      fill(at("history"), history.history, "rating", "The model knows no items of this visitor.");
      fill(at("recommended"), recommended.recommendations, "score", "There is nothing left to recommend.");
      at("total").textContent = history.total > history.history.length ? `${history.history.length} of ${history.total}, highest rating first` : history.total;
      at("rule").textContent = RULES[recommended.rule] || recommended.rule;
      at("lists").hidden = false;
      say(history.total ? "" : `The model does not know ${shown(id)}.`);
    } catch (error) {
      if (request !== latest) return;
      at("lists").hidden = true;
      say(error.message, true);
    }
  };

  const unmark = () => document.querySelectorAll("[aria-expanded=true]").forEach((other) => other.setAttribute("aria-expanded", "false"));

  // On a phone the details are below their row, elsewhere next to the lists.
  const place = () => {
    const row = openedBy && openedBy.closest("li");
    (phone.matches && row ? row : at("lists")).append(at("detail"));
  };

  const open = async (line, button) => {
    const request = latest, name = line.title || shown(line.contentId);
    try {
      const [explanation, similar] = await Promise.all([
        get("explanation", { visitorId: visitor, contentId: line.contentId, k: "8" }),
        get("similar_items", { contentId: line.contentId, k: "8" }),
      ]);
      if (request !== latest) return;
      unmark();
      button.setAttribute("aria-expanded", "true");
      if (!button.closest("#detail")) openedBy = button; // gets the focus back
      at("h-detail").textContent = name;
      at("about").textContent = [line.category, line.title && shown(line.contentId)].filter(Boolean).join(" · ");
      at("explained").hidden = !explanation.explanation.length;
      at("sum").textContent = `The visitor's items add up to a score of ${figure(explanation.score)}. The largest contributions:`;
      fill(at("explanation"), explanation.explanation, "contribution", "");
      fill(at("similar"), similar.similar_items, "score", "The model does not know this item.");
      place();
      at("detail").hidden = false;
      at("lists").classList.add("open");
      at("detail").focus({ preventScroll: true });
      const top = at("detail").getBoundingClientRect().top;
      if (top < 0 || top > innerHeight / 2) at("detail").scrollIntoView();
      say("");
    } catch (error) {
      say(error.message, true);
    }
  };

  const close = (back) => {
    at("detail").hidden = true;
    at("lists").classList.remove("open");
    unmark();
    at("lists").append(at("detail")); // the lists are filled again, and would remove it
    if (back && openedBy) openedBy.focus();
    openedBy = null;
  };

  // The visitorId is in the fragment (#...), which browsers do not send.
  const fromAddress = () => {
    let id = "";
    try {
      id = decodeURIComponent(location.hash.slice(1));
    } catch { /* not percent-encoded text: no id */ }
    at("visitor").value = id;
    if (id) show(id);
    else { latest++; at("lists").hidden = true; say(""); }
  };
  const go = (id) => {
    const hash = "#" + encodeURIComponent(id);
    if (location.hash === hash) fromAddress();
    else location.hash = hash;
  };

  at("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    go(at("visitor").value);
  });
  at("close").addEventListener("click", () => close(true));
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !at("detail").hidden) close(true);
  });
  addEventListener("hashchange", fromAddress);
  phone.addEventListener("change", () => { if (!at("detail").hidden) place(); });

  const begin = async () => {
    try {
      const about = await get("about", {});
      if (about.version === null) {
        say("No version of the model is loaded yet: " + about.reason);
        setTimeout(begin, 2000);
        return;
      }
      const count = (number, noun) => (number ? number.toLocaleString("en") + " " + noun : "");
      at("model").textContent = [`${about.model}, version ${about.version}`, count(about.visitors, "visitors"), count(about.items, "items")].filter(Boolean).join(" · ");
      for (const id of about.examples.filter((id) => typeof id === "string")) {
        const button = element("button", "", id);
        button.type = "button";
        button.addEventListener("click", () => go(id));
        at("examples").append(button);
      }
      at("examples").hidden = !about.examples.length;
      fromAddress();
    } catch (error) {
      say(error.message, true);
    }
  };
  begin();
})();
