// The theme's search dialogue has no name for screen readers.
document.querySelector(".md-search")?.setAttribute("aria-label", "Search");
// A wide table scrolls; by keyboard, it must be reachable for that. The theme wraps tables while the page loads.
addEventListener("load", () => {
  for (const table of document.querySelectorAll(".md-typeset__scrollwrap")) table.tabIndex = 0;
});
