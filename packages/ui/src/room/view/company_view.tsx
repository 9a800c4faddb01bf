// Who is here, under which name and over which transports; the visitor's own name can be changed in place.
import type { Member } from "efir";
import { memberId } from "../../preferences.ts";
import { NameField } from "../../view/fields.tsx";
import type { Company, Told } from "../company.ts";
import { words } from "../words.ts";
import { Face } from "./lines.tsx";

export function CompanyView({ company }: { company: Company }) {
  const told = company.told.value;
  const text = words.value;
  return (
    <section class="card panel" aria-labelledby="company-title" data-testid="company" data-told={told.kind}>
      <header>
        <h2 id="company-title">{text.company}</h2>
        {"count" in told && (
          <span class="count" data-testid="count" data-value={told.count}>
            {text.company_count(told.count)}
          </span>
        )}
      </header>
      <NameField />
      <Members told={told} />
    </section>
  );
}

function Members({ told }: { told: Told }) {
  const text = words.value;
  switch (told.kind) {
    case "asking":
      return <p class="hint">{text.company_asking}</p>;
    case "untold":
      return (
        <p class="hint" title={told.why}>
          {text.company_untold}
        </p>
      );
    case "count":
      return <p class="hint">{text.company_many}</p>;
    case "members":
      return (
        <>
          <ul class="members" aria-label={text.company} tabIndex={0}>
            {told.members.map((member) => (
              <MemberView key={member.id} member={member} />
            ))}
          </ul>
          {told.count === 1 && <p class="hint">{text.company_hint}</p>}
        </>
      );
  }
}

function MemberView({ member }: { member: Member }) {
  const { you, anonymous, transports, transports_short } = words.value;
  return (
    <li data-testid="member" data-member={member.id} data-transports={member.transports.join(" ")}>
      <Face readable={{ from: member.name, member: member.id }} />
      <div class="member-text">
        <span class="member-name">
          {member.name ?? anonymous}
          {member.id === memberId && <i> {you}</i>}
        </span>
        <span class="badges">
          {member.transports.map((name) => (
            <span class="badge" key={name} data-transport={name} title={transports[name]}>
              {transports_short[name]}
            </span>
          ))}
        </span>
      </div>
    </li>
  );
}
