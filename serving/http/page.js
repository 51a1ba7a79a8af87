"use strict";
(() => {
  const at = (id) => document.getElementById(id);
  const RULES = {
    factors: "by the visitor's own factors",
    projection: "worked out from what the visitor has",
    popularity: "what is popular: too little is known of the visitor",
  };
  let visitor = "", opened = null, latest = 0;

  // Ids are strings, or {b64: ...} where they are no UTF-8.
  const bytes = (id) => (typeof id === "string" ? new TextEncoder().encode(id) : Uint8Array.from(atob(id.b64), (c) => c.charCodeAt(0)));
  const quoted = (id) => Array.from(bytes(id), (byte) => "%" + byte.toString(16).padStart(2, "0")).join("");
  const shown = (id) => (typeof id === "string" ? id : "base64 " + id.b64);

  const get = async (path, query) => {
    const text = Object.entries(query).map(([name, value]) => name + "=" + quoted(value)).join("&");
    const answer = await fetch(path + (text ? "?" + text : ""));
    const found = await answer.json();
    if (!answer.ok) throw new Error(found.error || "the server answered " + answer.status);
    return found;
  };

  const say = (text, wrong) => {
    at("say").textContent = text;
    at("say").classList.toggle("wrong", Boolean(wrong));
  };

  const element = (name, className, text) => {
    const made = document.createElement(name);
    made.className = className;
    made.textContent = text;
    return made;
  };

  // A bar from 0 to 1 of the widest; SVG, for the page's policy allows no inline styles.
  const bar = (share) => {
    const space = "http://www.w3.org/2000/svg", svg = document.createElementNS(space, "svg"), rect = document.createElementNS(space, "rect");
    svg.setAttribute("class", "bar");
    svg.setAttribute("aria-hidden", "true");
    rect.setAttribute("width", Math.max(0.5, 100 * Math.abs(share)).toFixed(2) + "%");
    rect.setAttribute("height", "5");
    rect.setAttribute("rx", "2.5");
    if (share < 0) rect.setAttribute("class", "minus");
    svg.append(rect);
    return svg;
  };

  const fill = (list, lines, key, none) => {
    const widest = Math.max(1e-12, ...lines.map((line) => Math.abs(line[key])));
    list.replaceChildren(...lines.map((line) => {
      const item = document.createElement("li"), button = document.createElement("button");
      button.type = "button";
      button.append(element("span", "title", line.title || shown(line.contentId)));
      button.append(element("span", "value", line[key].toFixed(3)));
      if (line.category) button.append(element("span", "category", line.category));
      button.append(bar(line[key] / widest));
      button.addEventListener("click", () => open(line, button));
      item.append(button);
      return item;
    }));
    if (!lines.length) list.append(element("li", "none", none));
  };

  const show = async (id) => {
    const mine = ++latest;
    visitor = id;
    close(false);
    say("Looking ...");
    try {
      const [history, found] = await Promise.all([get("history", { visitorId: id, k: "20" }), get("recommendations", { visitorId: id, k: "20" })]);
      if (mine !== latest) return; // somebody asked for another visitor meanwhile
      fill(at("history"), history.history, "rating", "Nothing that the model knows of.");
      fill(at("recommended"), found.recommendations, "score", "Nothing is left to recommend.");
      at("total").textContent = history.total > history.history.length ? `${history.history.length} of ${history.total}, the best rated` : `${history.total}, the best rated first`;
      at("rule").textContent = RULES[found.rule] || found.rule;
      at("lists").hidden = false;
      say(history.total ? "" : `The model does not know ${shown(id)}.`);
    } catch (error) {
      if (mine !== latest) return;
      at("lists").hidden = true;
      say(error.message, true);
    }
  };

  const open = async (line, button) => {
    const mine = latest, name = line.title || shown(line.contentId);
    try {
      const [why, near] = await Promise.all([
        get("explanation", { visitorId: visitor, contentId: line.contentId, k: "8" }),
        get("similar_items", { contentId: line.contentId, k: "8" }),
      ]);
      if (mine !== latest) return;
      document.querySelectorAll("[aria-current]").forEach((other) => other.removeAttribute("aria-current"));
      button.setAttribute("aria-current", "true");
      if (!button.closest("#detail")) opened = button; // where the keyboard goes back to
      at("h-detail").textContent = name;
      at("about").textContent = [line.category, line.title && shown(line.contentId)].filter(Boolean).join(" · ");
      at("why").hidden = !why.explanation.length;
      at("sum").textContent = `All that the visitor has adds up to ${why.score.toFixed(3)}; most of it comes from`;
      fill(at("reasons"), why.explanation, "contribution", "");
      fill(at("similar"), near.similar_items, "score", "The model does not know this item.");
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
    document.querySelectorAll("[aria-current]").forEach((other) => other.removeAttribute("aria-current"));
    if (back && opened) opened.focus();
    opened = null;
  };

  // The visitor stands behind the #, which browsers send to nobody.
  const fromAddress = () => {
    let id = "";
    try {
      id = decodeURIComponent(location.hash.slice(1));
    } catch { /* no id in our writing */ }
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

  const begin = async () => {
    try {
      const about = await get("about", {});
      if (about.version === null) {
        say("No version of the model is loaded yet: " + about.reason);
        setTimeout(begin, 2000);
        return;
      }
      const count = (number, what) => (number ? number.toLocaleString("en") + " " + what : "");
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
