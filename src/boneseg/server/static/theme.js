// Before anything is drawn: the theme that was chosen, where one was.
const chosen = localStorage.getItem("theme");
if (chosen) document.documentElement.dataset.theme = chosen;
