// Where this efir is: the address that channels, figures and the other pages stand beside. A page in a folder says in its markup how
// far up that is (`<html data-home="..">`).

/** With a slash at its end. */
export function home(): string {
  const here = location.href.replace(/[?#].*$/, "");
  const up = document.documentElement.dataset["home"] ?? ".";
  const address = new URL(up, here).href;
  return address.endsWith("/") ? address : `${address}/`;
}
