/* Events and recommendations of a WALS server, for a page of your site: https://... /wals.js, no other files.
   const wals = Wals({ server: "https://recommend.example.com", visitor: "1234.5678" });
   wals.event("view_item", { items: [{ item_id: "a-17" }] });
   wals.show("#recommended", { k: 6, link: (item) => "/item/" + item.contentId }); */
"use strict";
window.Wals = ({ server = "", visitor = null, key = null, maxWaiting = 50 } = {}) => {
  const headers = { "content-type": "application/json", ...(key && { authorization: `Bearer ${key}` }) };
  let waiting = [], sending = null, retry = 1000;

  // Google Analytics' client_id, so that tonight's export knows the visitor by the same name.
  const id = () => visitor || (document.cookie.match(/(?:^|; )_ga=GA\d\.\d\.(\d+\.\d+)/) || [])[1];

  const post = async () => {
    const events = waiting.splice(0, 25);
    try {
      const body = JSON.stringify({ client_id: id(), events });
      const answer = await fetch(`${server}/events`, { method: "POST", headers, body, keepalive: true });
      if (answer.status === 429 || answer.status >= 500) throw new Error(answer.statusText);
      retry = 1000;
    } catch {
      // The same times make a repeated event count once.
      waiting = [...events, ...waiting].slice(-maxWaiting);
      await new Promise((done) => setTimeout(done, (retry = Math.min(2 * retry, 60000))));
    }
  };
  const drain = async () => { while (waiting.length && id()) await post(); };

  /** Send an event of GA4's names; the promise ends when the server has it. */
  const event = (name, params = {}) => {
    waiting.push({ name, params, timestamp_micros: Date.now() * 1000 });
    waiting = waiting.slice(-maxWaiting);
    sending ||= drain().finally(() => { sending = null; });
    return sending;
  };

  /** Return the answer of GET /recommendations. */
  const recommendations = async (k = 10) => {
    const answer = await fetch(`${server}/recommendations?${new URLSearchParams({ visitorId: id() || "none", k })}`);
    if (!answer.ok) throw new Error((await answer.json()).error);
    return answer.json();
  };

  /** Write the list as links into an element of the page; on a failure, leave it as it is. */
  const show = async (selector, { k = 10, link = (item) => item.link || `#${item.contentId}` } = {}) => {
    const list = document.querySelector(selector), answer = await recommendations(k).catch(() => null);
    if (!list || !answer) return answer;
    list.replaceChildren(...answer.recommendations.map((item) => {
      const row = document.createElement("li"), anchor = document.createElement("a");
      anchor.href = link(item);
      anchor.textContent = item.title || item.contentId;
      row.append(anchor);
      return row;
    }));
    return answer;
  };
  return { event, recommendations, show };
};
