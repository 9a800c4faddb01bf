// The results as a table that can be taken along: as text, as an address, as a picture.
import { useSignal } from "@preact/signals";
import { lookWords } from "../../look/words.ts";
import { isFromAddress, permalink, phase, results } from "../lab.ts";
import { order } from "../palette.ts";
import { savePicture } from "../picture.ts";
import { faultsOf, figure, momentOf, runOf } from "../readable.ts";
import { figureNames, tableText, type Results } from "../results.ts";
import { tableRows } from "../shown.ts";
import { words } from "../words.ts";

export function ResultsView() {
  const text = words.value;
  const shown = results.value;
  return (
    <section class="card results" aria-labelledby="results-head" data-testid="results">
      <h2 id="results-head">{text.results}</h2>
      {shown ? <Table shown={shown} /> : <p class="blank">{text.results_none}</p>}
    </section>
  );
}

function Table({ shown }: { shown: Results }) {
  const text = words.value;
  const isDone = phase.value === "done";
  return (
    <>
      <p class="hint">
        {isDone && (isFromAddress.value ? text.results_from_link : text.results_of)(momentOf(shown))}{" "}
        {runOf(shown.parameters)}. {faultsOf(shown.faults)}.
      </p>
      <div class="table" role="region" aria-label={text.table} tabIndex={0}>
        <table data-testid="results-table">
          <thead>
            <tr>
              <th scope="col">{text.transport}</th>
              {figureNames.map((name) => (
                <th scope="col" key={name}>
                  {name === "missing" && !isDone ? text.on_the_way_head : text.figure[name]}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {order.map((name) => (
              <tr key={name} data-transport={name}>
                <th scope="row">{lookWords.value.transports[name]}</th>
                {figureNames.map((one) => (
                  <td key={one} class={isDone && one === "missing" && shown.figures[name].missing > 0 ? "is-bad" : undefined}>
                    {figure(one, shown.figures[name])}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <Takeaway shown={shown} />
    </>
  );
}

function Takeaway({ shown }: { shown: Results }) {
  const text = words.value;
  const said = useSignal("");
  const copy = async (copied: string): Promise<void> => {
    said.value = (await toClipboard(copied)) ? text.copied : text.not_copied;
    setTimeout(() => (said.value = ""), 3_000);
  };
  return (
    <div class="takeaway">
      <button type="button" class="quiet" data-testid="copy-table" onClick={() => void copy(tableText(tableRows(shown), "tab"))}>
        {text.copy_table}
      </button>
      <button
        type="button"
        class="quiet"
        data-testid="copy-markdown"
        onClick={() => void copy(tableText(tableRows(shown), "markdown"))}
      >
        {text.copy_markdown}
      </button>
      <button type="button" class="quiet" data-testid="copy-link" onClick={() => void copy(permalink(shown))}>
        {text.copy_link}
      </button>
      <button
        type="button"
        class="quiet"
        data-testid="save-picture"
        onClick={() => void savePicture(shown, tableRows(shown))}
      >
        {text.save_picture}
      </button>
      <span role="status" class="said" data-testid="said">
        {said.value}
      </span>
    </div>
  );
}

/** Where the page is not a secure context (http://some-host:8080) there is no clipboard but the old way. */
async function toClipboard(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = Object.assign(document.createElement("textarea"), { value: text, className: "unseen" });
    document.body.append(field);
    field.select();
    const isCopied = document.execCommand("copy");
    field.remove();
    return isCopied;
  }
}
