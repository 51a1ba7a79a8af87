// The theme's search dialogue has no name for screen readers.
document.querySelector(".md-search")?.setAttribute("aria-label", "Search");
