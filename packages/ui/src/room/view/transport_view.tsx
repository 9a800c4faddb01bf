// By what the room is carried, live; the switch to another transport, and the cable to cut.
import type { Room } from "../room.ts";
import { transportNames, type TransportName } from "../../wire.ts";
import { words } from "../words.ts";
import { spanText } from "./lines.tsx";

export function TransportView({ room }: { room: Room }) {
  const text = words.value;
  const now = room.transport.value;
  const isUp = room.air.value === "online";
  const latency_ms = room.latency_ms.value;
  return (
    <section class="card panel" aria-labelledby="transport-title" data-testid="transport">
      <header>
        <h2 id="transport-title">{text.transport}</h2>
        <CableSwitch room={room} />
      </header>
      <div class="choice" role="radiogroup" aria-labelledby="transport-title">
        <Choice
          room={room}
          name={null}
          title={text.automatic}
          explained={
            now === null || room.chosen.value !== null
              ? text.automatic_explained
              : text.automatic_now(text.transports[now])
          }
        />
        {[...transportNames].reverse().map((name) => (
          <Choice
            key={name}
            room={room}
            name={name}
            title={text.transports[name]}
            explained={text.transports_explained[name]}
            isNow={isUp && now === name}
          />
        ))}
      </div>
      <p class="hint" data-testid="latency" data-value={latency_ms}>
        {latency_ms === undefined ? text.latency_none : text.latency(spanText(latency_ms))}
      </p>
      <p class="hint">{text.cut_hint}</p>
    </section>
  );
}

interface Offer {
  room: Room;
  name: TransportName | null;
  title: string;
  explained: string;
  isNow?: boolean;
}

function Choice({ room, name, title, explained, isNow = false }: Offer) {
  const value = name ?? "auto";
  return (
    <label class="offer" data-transport={name ?? undefined} data-now={isNow}>
      <input
        type="radio"
        name="transport"
        value={value}
        data-testid={`use-${value}`}
        checked={room.chosen.value === name}
        onChange={() => room.use(name)}
      />
      <span class="offer-title">{title}</span>
      <span class="offer-explained">{explained}</span>
    </label>
  );
}

function CableSwitch({ room }: { room: Room }) {
  const isCut = room.cable.isCut.value;
  const { cut_cable, plug } = words.value;
  return (
    <button
      type="button"
      class="cable"
      data-testid="room-cable"
      data-cut={isCut}
      onClick={() => room.cut(!isCut)}
    >
      <svg viewBox="0 0 20 12" aria-hidden="true">
        {isCut ? (
          <path d="M1 6h5M14 6h5M7.5 2.5l1 7M12.5 2.5l-1 7" />
        ) : (
          <path d="M1 6h6M13 6h6M7 3v6h3a3 3 0 0 0 0-6zM13 4.5v3" />
        )}
      </svg>
      {isCut ? plug : cut_cable}
    </button>
  );
}
