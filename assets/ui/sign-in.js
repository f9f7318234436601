// In a window of its own the sign-in needs no second one; in the Hub's page (an iframe) it does,
// and some browsers keep our cookie from us there: then the page has to be opened by itself.

if (self === top) {
  for (const link of document.querySelectorAll("a[target=_blank].main")) {
    link.removeAttribute("target");
  }
} else {
  const line = document.createElement("p");
  line.className = "quiet";
  const link = document.createElement("a");
  link.href = location.href;
  link.target = "_blank";
  link.textContent = "open it by itself";
  line.append("If you have signed in and see this again, ", link, ".");
  document.querySelector("main").append(line);
}
