// Loaded before anything is painted (a plain script, no module), so that a chosen theme does not flash.
document.documentElement.dataset.theme = localStorage.getItem("farerush.theme") ?? "";
