// The head of the page of the five panes.
import { encodeName } from "../channel.ts";
import { Masthead as Head } from "../look/masthead.tsx";
import { channel } from "../place.ts";
import { words } from "../words.ts";
import { ChannelField, NameField } from "./fields.tsx";

export function Masthead() {
  return (
    <Head page="by-hand" tagline={words.value.tagline} channel={encodeName(channel.value)}>
      <ChannelField />
      <NameField />
    </Head>
  );
}
