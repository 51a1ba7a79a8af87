"use strict";
(() => {
  const at = (id) => document.getElementById(id);
  const RULES = {
    factors: "from the visitor's trained factors",
    projection: "computed from the visitor's items",
    live: "computed from the visitor's items and views of today",
    popularity: "popular items, the same for all visitors",
  };
  // Parameters of /recommendations with a name for readers; others are shown by their own.
  const NAMES = {
    k: "Items", lambda: "Diversity", candidates: "Candidates of diversity", category: "Only categories", excludeCategory: "No categories",
    exclude: "Leave out ids", maxPerCategory: "Most per category", minScore: "Lowest score", maxAgeDays: "Oldest, in days",
    includeSeen: "With the visitor's own items", explore: "Explore slots",
  };
  const LEFT_OUT = {
    seen: "that the visitor has", exclude: "by id", block: "on the block list", allow: "not on the allow list", category: "by category",
    maxAgeDays: "too old", minScore: "with a lower score",
  };
  const ELSEWHERE = ["visitorId", "version", "variant"]; // parameters with a place of their own on the page
  const K = 20, SHORT = 8, POLL_MS = 3000;
  const narrow = matchMedia("(max-width: 980px)");
  let parameters = [], takesEvents = false;
  let visitor = "", openedBy = null, opening = 0, latest = 0, latestSearch = 0, seenViews = "";

  // Three significant digits; whole numbers, e.g. of visitors, have all of theirs, and nothing is shown as -0.000.
  const digits = new Intl.NumberFormat("en", { minimumSignificantDigits: 3, maximumSignificantDigits: 3 });
  const figure = (value) => {
    if (Number.isInteger(value)) return (value || 0).toLocaleString("en"); // -0 is 0
    return Math.abs(value) < 0.001 ? value.toExponential(2) : digits.format(value);
  };
  const ago = (ms) => {
    const seconds = Math.round((ms - Date.now()) / 1000), format = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
    for (const [unit, size] of [["day", 86400], ["hour", 3600], ["minute", 60]]) {
      if (-seconds >= size) return format.format(Math.trunc(seconds / size), unit);
    }
    return "just now";
  };

  // Ids are strings, or {b64: ...} if they are not UTF-8.
  const bytes = (id) => (typeof id === "string" ? new TextEncoder().encode(id) : Uint8Array.from(atob(id.b64), (c) => c.charCodeAt(0)));
  const percentEncoded = (id) => Array.from(bytes(id), (byte) => "%" + byte.toString(16).padStart(2, "0")).join("");
  const shown = (id) => (typeof id === "string" ? id : "base64 " + id.b64);

  // query: pairs of name and value, as a name may be there several times.
  const get = async (path, query = []) => {
    const text = query.map(([name, value]) => name + "=" + percentEncoded(value)).join("&");
    const response = await fetch(path + (text ? "?" + text : ""));
    const answer = await response.json();
    if (!response.ok) throw new Error(answer.error || "the server answered " + response.status);
    return answer;
  };

  const say = (text, wrong) => {
    at("message").textContent = text;
    at("message").classList.toggle("wrong", Boolean(wrong));
  };

  const element = (name, className, text = "") => {
    const created = document.createElement(name);
    created.className = className;
    created.textContent = text;
    return created;
  };

  // A bar whose share is 0 to 1 of the widest.
  const bar = (share) => {
    const created = element("span", share < 0 ? "bar minus" : "bar");
    created.style.width = Math.max(0.5, 100 * Math.abs(share)).toFixed(2) + "%";
    return created;
  };

  // A picture, or its place where there is none.
  const picture = (address) => {
    const created = element(address ? "img" : "span", "thumb");
    if (!address) return created;
    created.alt = "";
    created.loading = "lazy";
    created.addEventListener("error", () => created.replaceWith(picture("")));
    created.src = address;
    return created;
  };

  // Fill a list with a row per line; value: text at the right of a row; key: the number that its bar shows, if any.
  const fill = (list, lines, { value, key, empty }) => {
    const widest = Math.max(1e-12, ...lines.map((line) => Math.abs(line[key]))), pictured = lines.some((line) => line.picture);
    list.replaceChildren(...lines.map((line) => {
      const item = document.createElement("li"), button = document.createElement("button"), text = value(line);
      button.type = "button";
      button.setAttribute("aria-expanded", "false");
      if (pictured) button.append(picture(line.picture));
      button.append(element("span", "title", line.title || shown(line.contentId)));
      if (text) button.append(element("span", "value", text));
      if (line.category) button.append(element("span", "category", line.category));
      if (key) button.append(bar(line[key] / widest));
      button.addEventListener("click", () => open(line, button));
      item.append(button);
      return item;
    }));
    if (!lines.length) list.append(element("li", "none", empty));
  };
  const numbered = (key, lines, empty) => {
    const alike = key === "rating" && lines.every((line) => line[key] === lines[0][key]); // tells nothing
    return alike ? { value: () => "", empty } : { value: (line) => figure(line[key]), key, empty };
  };

  // The page's state is in the fragment (#visitor&k=5&...), which browsers do not send.
  const state = () => {
    try {
      const [id, ...rest] = location.hash.slice(1).split("&");
      const options = rest.map((text) => text.split("=", 2).map(decodeURIComponent)).filter((pair) => pair.length === 2);
      return { id: decodeURIComponent(id), options: options.filter(([name]) => name === "with" || parameters.some((one) => one.name === name)) };
    } catch {
      return { id: "", options: [] }; // not percent-encoded text
    }
  };
  const go = (id, options) => {
    const hash = "#" + [encodeURIComponent(id), ...options.map((pair) => pair.map(encodeURIComponent).join("="))].join("&");
    if (location.hash === hash) fromAddress();
    else location.hash = hash;
  };
  const fromAddress = () => {
    const { id, options } = state();
    at("visitor").value = id;
    setFields(options);
    if (id) show(id, options);
    else { latest++; visitor = ""; close(false); showLists(false); say(""); }
  };

  const showLists = (are) => {
    for (const id of ["of-visitor", "s-recommended"]) at(id).hidden = !are;
    if (!are) at("s-compared").hidden = at("s-views").hidden = true;
    at("lists").classList.toggle("three", !at("s-compared").hidden);
  };

  const showViews = (answer) => {
    at("s-views").hidden = !answer || !answer.views.length;
    if (!answer) return;
    seenViews = JSON.stringify(answer);
    at("viewed").textContent = answer.total > answer.views.length ? `the last ${answer.views.length} of ${answer.total}` : answer.total;
    fill(at("views"), answer.views, { value: (line) => ago(line.timeMs) });
  };

  const show = async (id, options, quietly) => {
    const request = ++latest, other = options.find(([name]) => name === "with");
    if (id !== visitor) close(false);
    if (!quietly) say("Loading ...");
    const short = [["visitorId", id], limited(K)];
    const own = short.filter(([name]) => options.every(([set]) => set !== name)); // of two values of k, the one that is set
    const asked = [...own, ...options.filter((one) => one !== other)];
    try {
      const [history, recommended, views, compared] = await Promise.all([
        get("history", short), get("recommendations", asked), takesEvents ? get("views", short).catch(() => null) : null,
        other ? get("recommendations", [...asked, other[1].split(/=(.*)/s, 2)]) : null,
      ]);
      if (request !== latest) return; // another visitor was asked for in the meantime
      if (quietly && (opening || !at("detail").hidden)) return; // somebody reads
      close(false);
      visitor = id;
      fill(at("history"), history.history, numbered("rating", history.history, "The model knows no items of this visitor."));
      showRecommended(recommended, compared, other);
      showViews(views);
      at("total").textContent = history.total > history.history.length ? `${history.history.length} of ${history.total}, highest rating first` : history.total;
      showLists(true);
      say(history.total || at("s-views").hidden === false ? "" : `The model does not know ${shown(id)}.`);
    } catch (error) {
      if (request !== latest) return;
      showLists(false);
      say(error.message, true);
    }
  };

  const showRecommended = (answer, compared, other) => {
    const lines = answer.recommendations, left = Object.entries(answer.leftOut || {}).filter(([, count]) => count);
    fill(at("recommended"), lines, numbered("score", lines, "There is nothing left to recommend."));
    at("rule").textContent = (RULES[answer.rule] || answer.rule) + (answer.variant ? `; variant ${answer.variant}` : "");
    at("left").textContent = left.length ? "Left out: " + left.map(([name, count]) => `${count.toLocaleString("en")} ${LEFT_OUT[name] || name}`).join(", ") + "." : "";
    at("s-compared").hidden = !compared;
    if (!compared) return;
    const ranks = new Map(lines.map((line) => [JSON.stringify(line.contentId), line.rank]));
    const others = compared.recommendations, before = (line) => ranks.get(JSON.stringify(line.contentId));
    at("by").textContent = nameOf(other[1]);
    at("common").textContent = `${others.filter(before).length} of ${others.length} are in both`;
    fill(at("compared"), others, {
      value: (line) => `${figure(line.score)} · ${before(line) ? (before(line) === line.rank ? "same place" : "place " + before(line)) : "not there"}`,
      key: "score", empty: "There is nothing left to recommend.",
    });
  };

  const unmark = () => document.querySelectorAll("[aria-expanded=true]").forEach((other) => other.setAttribute("aria-expanded", "false"));

  // The details are beneath their row where the lists leave no place for them.
  const place = () => {
    const row = openedBy && openedBy.closest("li");
    const beneath = row && (narrow.matches || row.closest(".wide, .three"));
    (beneath ? row : at("lists")).append(at("detail"));
    at("lists").classList.toggle("open", !beneath);
  };

  const open = async (line, button) => {
    const request = latest, item = ["contentId", line.contentId], k = limited(SHORT);
    if (button === openedBy && button.getAttribute("aria-expanded") === "true") return close(true);
    opening += 1;
    try {
      const [explanation, similar] = await Promise.all([
        visitor ? get("explanation", [["visitorId", visitor], item, k]) : { explanation: [] },
        get("similar_items", [item, k]),
      ]);
      if (request !== latest || !button.isConnected) return;
      unmark();
      button.setAttribute("aria-expanded", "true");
      if (!button.closest("#detail")) openedBy = button; // gets the focus back
      at("h-detail").textContent = line.title || shown(line.contentId);
      at("about").textContent = [line.category, line.title && shown(line.contentId)].filter(Boolean).join(" · ");
      at("at-site").hidden = !line.link && !line.picture;
      at("link").hidden = !line.link;
      at("picture").hidden = !line.picture;
      at("link").href = line.link || "";
      at("picture").src = line.picture || "data:,";
      at("explained").hidden = !explanation.explanation.length;
      if (explanation.explanation.length) {
        at("sum").textContent = `The visitor's items add up to a score of ${figure(explanation.score)}. The largest contributions:`;
        fill(at("explanation"), explanation.explanation, numbered("contribution", explanation.explanation, ""));
      }
      fill(at("similar"), similar.similar_items, numbered("score", similar.similar_items, "The model does not know this item."));
      place();
      at("detail").hidden = false;
      at("detail").focus({ preventScroll: true });
      const top = at("detail").getBoundingClientRect().top;
      if (top < 0 || top > innerHeight / 2) (narrow.matches ? button : at("detail")).scrollIntoView();
      say("");
    } catch (error) {
      say(error.message, true);
    } finally {
      opening -= 1;
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

  const search = async () => {
    const request = ++latestSearch, text = at("text").value.trim();
    if (at("detail").closest("#found")) close(false);
    at("s-found").hidden = !text;
    if (!text) return;
    try {
      const answer = await get("search", [["query", text], limited(SHORT)]);
      if (request !== latestSearch) return;
      if (at("detail").closest("#found")) close(false);
      fill(at("found"), answer.items, { value: (line) => (line.title ? shown(line.contentId) : ""), empty: "No item has this title or id." });
    } catch (error) {
      say(error.message, true);
    }
  };

  // A field per parameter that the server describes; what it does not describe is not on the page.
  const schemaOf = (parameter) => (parameter.schema.anyOf || [parameter.schema]).find((one) => one.type !== "null");
  const limited = (k) => ["k", String(Math.min(k, largestK()))];
  const largestK = () => (parameters.find((one) => one.name === "k") || { schema: {} }).schema.maximum || K;
  const addField = (parameter) => {
    const schema = schemaOf(parameter), label = element("label", "field"), input = document.createElement(schema.enum ? "select" : "input");
    label.append(element("span", "", NAMES[parameter.name] || parameter.name), input);
    label.title = parameter.description || "";
    input.name = parameter.name;
    if (schema.enum) input.append(...["", ...schema.enum].map((value) => new Option(value, value)));
    else if (schema.type === "boolean") input.type = "checkbox";
    else if (parameter.name === "lambda") Object.assign(input, { type: "range", min: 0, max: 1, step: 0.05 });
    else if (schema.type === "array") input.placeholder = "several with ;";
    else if (schema.type !== "string") {
      Object.assign(input, { type: "number", step: schema.type === "integer" ? 1 : "any", min: schema.minimum ?? "", max: schema.maximum ?? "" });
      input.placeholder = parameter.name === "k" ? Math.min(K, largestK()) : schema.default ?? "";
    }
    at("fields").append(label);
  };
  const nameOf = (other) => other.replace("=", " ").replace(/^v/, "V"); // e.g. version=1
  const addComparison = (about) => {
    const has = (name) => about.parameters.some((one) => one.name === name);
    const others = [
      ...(has("variant") ? about.variants : []).map((name) => "variant=" + name),
      ...(has("version") ? about.versions : []).map((number) => "version=" + number),
    ];
    if (!others.length) return;
    const label = element("label", "field"), input = document.createElement("select");
    input.name = "with";
    input.append(new Option("", ""), ...others.map((value) => new Option(nameOf(value), value)));
    label.append(element("span", "", "Side by side with"), input);
    at("fields").append(label);
  };

  // lambda is 1 for a list by score alone; the page asks for its opposite.
  const setFields = (options) => {
    for (const input of at("fields").elements) {
      const values = options.filter(([name]) => name === input.name).map(([, value]) => value);
      const parameter = parameters.find((one) => one.name === input.name);
      if (input.type === "checkbox") input.checked = values.length ? values[0] === "true" : Boolean(schemaOf(parameter).default);
      else if (input.type === "range") input.value = values.length ? 1 - values[0] : 0;
      else input.value = values.join(" ; ");
    }
    at("chosen").textContent = options.length ? `(${options.length} set)` : "";
  };
  const fromFields = () => Array.from(at("fields").elements).flatMap((input) => {
    const parameter = parameters.find((one) => one.name === input.name);
    if (input.type === "checkbox") return input.checked === Boolean(schemaOf(parameter).default) ? [] : [[input.name, String(input.checked)]];
    if (input.type === "range") return input.value === "0" ? [] : [[input.name, String(Number((1 - input.value).toFixed(2)))]];
    const several = parameter && schemaOf(parameter).type === "array";
    return (several ? input.value.split(";") : [input.value]).map((value) => value.trim()).filter(Boolean).map((value) => [input.name, value]);
  });

  const areValid = () => {
    if (!at("fields").checkValidity()) at("options").open = true; // the browser points at the field
    return at("fields").reportValidity();
  };

  at("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    if (areValid()) go(at("visitor").value, fromFields());
  });
  at("fields").addEventListener("submit", (event) => event.preventDefault());
  at("fields").addEventListener("change", () => {
    if (at("visitor").value && areValid()) go(at("visitor").value, fromFields());
  });
  at("find").addEventListener("submit", (event) => { event.preventDefault(); search(); });
  let typing = 0;
  at("text").addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(search, 150); });
  at("close").addEventListener("click", () => close(true));
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !at("detail").hidden) close(true);
  });
  narrow.addEventListener("change", () => { if (!at("detail").hidden) place(); });

  // What the visitor does now changes the lists, unless somebody reads the details of a row.
  const follow = async () => {
    const request = latest;
    if (!document.hidden && visitor && at("detail").hidden) {
      const answer = await get("views", [["visitorId", visitor], limited(K)]).catch(() => null);
      if (answer && request === latest && at("detail").hidden && JSON.stringify(answer) !== seenViews) await show(visitor, state().options, true);
    }
    setTimeout(follow, POLL_MS);
  };

  const begin = async (waited) => {
    try {
      const about = await get("about");
      if (about.version === null) {
        say("No version of the model is loaded yet: " + about.reason);
        setTimeout(begin, 2000, true);
        return;
      }
      if (waited) location.reload(); // the page's policy names the hosts of the version's pictures
      const count = (number, noun) => (number ? number.toLocaleString("en") + " " + noun : "");
      at("model").textContent = [`${about.model}, version ${about.version}`, count(about.visitors, "visitors"), count(about.items, "items")].filter(Boolean).join(" · ");
      const { paths } = await get("openapi.json");
      about.parameters = paths["/recommendations"].get.parameters;
      parameters = about.parameters.filter((one) => !ELSEWHERE.includes(one.name));
      takesEvents = "/views" in paths;
      parameters.forEach(addField);
      addComparison(about);
      for (const id of about.examples.filter((id) => typeof id === "string")) {
        const button = element("button", "", id);
        button.type = "button";
        button.addEventListener("click", () => go(id, fromFields()));
        at("examples").append(button);
      }
      at("examples").hidden = !about.examples.length;
      addEventListener("hashchange", fromAddress);
      fromAddress();
      if (takesEvents) follow();
    } catch (error) {
      say(error.message, true);
    }
  };
  begin(false);
})();
