//! Who is in a channel: entering by every transport, leaving, and a state that is exact at its cursor, read by every transport.

mod bounds;
mod wire;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use efir_client::{Event, Member, Members, Who};
use efir_core::{ChannelName, MemberId};
use efir_engine::Via;
use serde_json::json;

use self::{
    bounds::{
        a_full_node_keeps_who_is_in, a_refused_member_is_seen_nowhere, a_socket_enters_again,
        foreign_pages_enter_nowhere, states_are_bounded_together,
    },
    wire::{
        a_lease_by_put, commands_of_a_socket, link_keeps_the_member, refusals_of_presence,
        several_in_one_body,
    },
};
use super::scenarios;
use crate::{
    ask::PATIENCE,
    node::Settings,
    readers::{self, Begin, Kind, ROWS, Reader, Row},
    room::{Cell, Room, same},
};

scenarios! { "presence";
    Rows seen_by_every_reader: "D12", "D8";
    Rows reading_enters: "D12";
    Rows leaves_when_it_closes: "D12";
    Carriers two_tabs_are_one_member: "D12";
    Carriers names_and_data_change: "D12";
    Rows state_and_changes_are_one: "D12", "D7";
    Rows resumes_without_a_state: "D12", "D4";
    Rows restart_tells_a_gap: "D12", "D5";
    Rows many_are_counted: "D12";
    Carriers commands_of_a_socket: "D12", "wire";
    Carriers a_lease_by_put: "D12", "wire";
    Carriers who_is_sent_away_stays: "D12";
    Carriers refusals_of_presence: "wire";
    Carriers link_keeps_the_member: "wire";
    Carriers several_in_one_body: "wire", "D12";
    Carriers a_full_node_keeps_who_is_in: "D12";
    Carriers a_socket_enters_again: "D12", "wire";
    Carriers foreign_pages_enter_nowhere: "wire";
    Carriers states_are_bounded_together: "wire";
    Carriers a_refused_member_is_seen_nowhere: "wire";
}

/// How soon a clean leave is told.
const SOON: Duration = Duration::from_secs(1);

/// Times in which a test need not wait.
fn quick(settings: &mut Settings) {
    settings.times.presence_grace_ms = 250;
    settings.times.poll_interval_ms = 150;
    settings.times.presence_lease_ms = 400;
}

async fn open(cell: &Cell) -> Result<Room> {
    Room::with(cell, quick).await
}

/// The name of the room's log of members.
fn log(room: &Room) -> String {
    format!("{}/presence", room.channel)
}

/// The path of the room's log of members with a query.
fn path(room: &Room, query: &str) -> String {
    format!("{}/presence{query}", room.path(""))
}

fn name(room: &Room) -> Result<ChannelName> {
    Ok(ChannelName::parse(&room.channel)?)
}

fn who(id: &str) -> Result<efir_core::Who> {
    Ok(efir_core::Who::new(MemberId::parse(id)?))
}

/// The row that reads one channel, or `/socket`, by a transport.
fn row_of(kind: Kind) -> Result<Row> {
    let row = ROWS.iter().find(|row| row.kind == kind && !row.is_several && !row.is_deflated);
    row.copied().context("every transport has a row")
}

/// Reads a log of members over a row and keeps the list.
struct Watcher {
    reader: Box<dyn Reader>,
    members: Members,
    has_state: bool,
    cursor: String,
}

impl Watcher {
    async fn open(room: &Room, row: Row) -> Result<Self> {
        let mut watcher = Self::new(room, row)?;
        watcher.reader.open(&Begin::Now).await?;
        watcher.until("a state", |watcher| watcher.has_state).await?;
        Ok(watcher)
    }

    fn new(room: &Room, row: Row) -> Result<Self> {
        let mut channels = vec![log(room)];
        if row.is_several {
            channels.push("side".into());
        }
        let reader = readers::reader(room.aim(row, channels)?);
        Ok(Self { reader, members: Members::default(), has_state: false, cursor: String::new() })
    }

    /// Reads on until the list is as wanted.
    async fn until(&mut self, what: &str, is_it: impl Fn(&Self) -> bool) -> Result<()> {
        let read = async {
            while !is_it(self) {
                let event = self.reader.next().await?.context("the reader ended")?;
                self.take(&event)?;
            }
            anyhow::Ok(())
        };
        let read = tokio::time::timeout(PATIENCE, read).await;
        match read {
            Ok(read) => read.with_context(|| format!("waiting for {what}")),
            Err(_) => bail!("{what} does not come: {:?}", self.members),
        }
    }

    async fn has(&mut self, ids: &[&str]) -> Result<()> {
        self.until(&format!("{ids:?}"), |watcher| watcher.ids() == ids).await
    }

    fn take(&mut self, event: &Event) -> Result<()> {
        match event {
            Event::Presence(_) => self.has_state = true,
            Event::Problem(problem) => bail!("a problem: {problem}"),
            _ => {}
        }
        ensure!(self.members.take(event), "cannot follow {event:?} after {:?}", self.members);
        if let Event::Message(message) = event {
            ensure!(message.member_change().is_some(), "no change: {message:?}");
        }
        self.members.cursor().clone_into(&mut self.cursor);
        Ok(())
    }

    fn ids(&self) -> Vec<&str> {
        self.members.list().into_iter().flatten().map(|(id, _)| id.as_str()).collect()
    }

    fn member(&self, id: &str) -> Option<&Member> {
        self.members.list()?.get(id)
    }
}

/// A member by reading, over one row; as long as it is kept.
struct Attendee {
    reader: Option<Box<dyn Reader>>,
    socket: Option<efir_client::Socket>,
    polling: Option<tokio::task::JoinHandle<()>>,
}

impl Attendee {
    async fn enter(room: &Room, row: Row, id: &str) -> Result<Self> {
        let (mut attendee, client) = (Self { reader: None, socket: None, polling: None }, room.client()?);
        if row.kind == Kind::Socket {
            let mut socket = client.socket().await?;
            socket.enter(&room.channel, &Who::new(id)).await?;
            attendee.socket = Some(socket);
            return Ok(attendee);
        }
        let mut aim = room.aim(row, room.channels(row))?;
        aim.query = vec![("member".into(), id.into()), ("client".into(), "tab".into())];
        if row.is_several {
            aim.query.push(("enter".into(), room.channel.clone()));
        }
        let mut reader = readers::reader(aim);
        reader.open(&Begin::Now).await?;
        if row.kind.is_poll() {
            // It polls for ever, until it is aborted.
            attendee.polling = Some(tokio::spawn(async move { while reader.next().await.is_ok() {} }));
        } else {
            attendee.reader = Some(reader);
        }
        Ok(attendee)
    }

    fn close(mut self) {
        if let Some(reader) = &mut self.reader {
            reader.close();
        }
    }
}

impl Drop for Attendee {
    fn drop(&mut self) {
        if let Some(polling) = &self.polling {
            polling.abort();
        }
    }
}

/// The row's transport reads who comes, changes and goes.
async fn seen_by_every_reader(cell: Cell) -> Result<()> {
    let room = open(&cell).await?;
    let anna = room.client()?;
    anna.enter(&room.channel, &Who::new("early").name("Ранний")).await?;
    let mut watcher = Watcher::open(&room, cell.row()?).await?;
    ensure!(watcher.member("early").is_some_and(|member| member.name.as_deref() == Some("Ранний")));
    let mut socket = room.client()?.socket().await?;
    socket.enter(&room.channel, &Who::new("7cJ").name("Аня").data(json!({"цвет": ["красный", 1.5]}))).await?;
    watcher.has(&["7cJ", "early"]).await?;
    let member = watcher.member("7cJ").context("Anna")?;
    same("data", member.data.clone(), Some(json!({"цвет": ["красный", 1.5]})))?;
    same("transports", member.transports.clone(), vec!["websocket".to_owned()])?;
    socket.enter(&room.channel, &Who::new("7cJ").name("Анна")).await?;
    watcher
        .until("the new name", |watcher| {
            watcher.member("7cJ").is_some_and(|member| member.name.as_deref() == Some("Анна"))
        })
        .await?;
    ensure!(watcher.member("7cJ").is_some_and(|member| member.data.is_some()), "what is not said stays");
    drop(socket);
    anna.enter(&room.channel, &Who::new("early")).await?;
    watcher.has(&["early"]).await?;
    anna.leave(&room.channel, &Who::new("early")).await?;
    watcher.has(&[]).await?;
    room.close().await
}

/// Whoever reads with `member` is in the channel, and says by what. A poller stays between its polls, and goes when it polls no more.
async fn reading_enters(cell: Cell) -> Result<()> {
    let (room, row) = (open(&cell).await?, cell.row()?);
    let mut watcher = Watcher::open(&room, row_of(Kind::HttpStream)?).await?;
    let attendee = Attendee::enter(&room, row, "x1").await?;
    watcher.has(&["x1"]).await?;
    let transport = if row.kind == Kind::Socket { "websocket" } else { row.kind.name() };
    let member = watcher.member("x1").context("the member")?;
    same("transports", member.transports.clone(), vec![transport.to_owned()])?;
    // Several polls and their pauses; whoever would leave in between would be seen to.
    let stays = tokio::time::timeout(Duration::from_millis(900), watcher.reader.next());
    match stays.await {
        Err(_) => {}
        Ok(event) => ensure!(!matches!(event?, Some(Event::Message(_))), "it did not stay"),
    }
    let state = room.client()?.presence(&room.channel).await?;
    same("count", state.count, 1)?;
    attendee.close();
    watcher.has(&[]).await?;
    room.close().await
}

/// A stream or socket that is closed is left at once; a poll when its time is over.
async fn leaves_when_it_closes(cell: Cell) -> Result<()> {
    let (room, row) = (open(&cell).await?, cell.row()?);
    let mut watcher = Watcher::open(&room, row_of(Kind::Sse)?).await?;
    // A machine is slow for a moment; a server that waits for something waits each time.
    let mut soonest = PATIENCE;
    for _ in 0..3 {
        let attendee = Attendee::enter(&room, row, "x1").await?;
        watcher.has(&["x1"]).await?;
        let closed = Instant::now();
        attendee.close();
        watcher.has(&[]).await?;
        soonest = soonest.min(closed.elapsed());
    }
    ensure!(soonest < SOON + Duration::from_secs(1), "left after {soonest:?} at the soonest");
    room.close().await
}

async fn two_tabs_are_one_member(cell: Cell) -> Result<()> {
    let room = open(&cell).await?;
    let mut watcher = Watcher::open(&room, row_of(Kind::HttpStream)?).await?;
    let [sse, websocket] = [row_of(Kind::Sse)?, row_of(Kind::WebSocket)?];
    let transports =
        |watcher: &Watcher| watcher.member("a").map(|member| member.transports.join(" ")).unwrap_or_default();
    let first = Attendee::enter(&room, websocket, "a").await?;
    watcher.until("one tab", |watcher| transports(watcher) == "websocket").await?;
    let since = watcher.member("a").map(|member| member.since);
    let second = Attendee::enter(&room, sse, "a").await?;
    watcher.until("two tabs", |watcher| transports(watcher) == "sse websocket").await?;
    let third = Attendee::enter(&room, sse, "a").await?;
    first.close();
    watcher.until("the first is gone", |watcher| transports(watcher) == "sse").await?;
    same("since", watcher.member("a").map(|member| member.since), since)?;
    second.close();
    let marker = Attendee::enter(&room, sse, "b").await?;
    watcher.has(&["a", "b"]).await?;
    third.close();
    watcher.has(&["b"]).await?;
    marker.close();
    watcher.has(&[]).await?;
    room.close().await
}

/// An update is one of the member, whichever of its tabs says it.
async fn names_and_data_change(cell: Cell) -> Result<()> {
    let room = open(&cell).await?;
    let tab = Attendee::enter(&room, row_of(Kind::Sse)?, "a").await?;
    let mut watcher = Watcher::open(&room, row_of(Kind::WebSocket)?).await?;
    let client = room.client()?;
    for name in ["Аня", "Ёлка 🎄", "\"кавычки\" и \\", ""] {
        client.enter(&room.channel, &Who::new("a").name(name).client("form")).await?;
        let wanted = (!name.is_empty()).then(|| name.to_owned());
        watcher
            .until(name, |watcher| watcher.member("a").is_some_and(|member| member.name == wanted))
            .await?;
    }
    for data in [json!({"x": {"глубже": [1, 2.5, null, "\n"]}}), json!(7), json!(null)] {
        client.enter(&room.channel, &Who::new("a").data(data.clone()).client("form")).await?;
        let wanted = Some(data).filter(|data| !data.is_null());
        watcher
            .until("the data", |watcher| watcher.member("a").is_some_and(|member| member.data == wanted))
            .await?;
    }
    let before = watcher.cursor.clone();
    client.enter(&room.channel, &Who::new("a").client("form")).await?;
    let state = client.presence(&room.channel).await?;
    same("nothing changed", state.cursor, before)?;
    tab.close();
    client.leave(&room.channel, &Who::new("a").client("form")).await?;
    watcher.has(&[]).await?;
    room.close().await
}

/// Members come and go all the time while readers join: what each has in the end is who is there.
async fn state_and_changes_are_one(cell: Cell) -> Result<()> {
    let (room, row) = (open(&cell).await?, cell.row()?);
    let (hub, channel) = (room.node.hub().clone(), name(&room)?);
    let seed = cell.seed;
    let coming = std::thread::spawn(move || -> Result<Vec<efir_engine::Lease>> {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut leases = Vec::new();
        for n in 0..240 {
            if random.bool() || leases.is_empty() {
                let via = Via { client: None, transport: Some(["sse", "websocket"][random.usize(0..2)]) };
                leases.push(hub.enter(&channel, &who(&format!("m{}", random.u8(0..9)))?, via)?);
            } else {
                leases.swap_remove(random.usize(0..leases.len()));
            }
            if n % 4 == 0 {
                std::thread::sleep(Duration::from_millis(random.u64(0..6)));
            }
        }
        Ok(leases)
    });
    let mut watchers = Vec::new();
    for _ in 0..6 {
        watchers.push(Watcher::open(&room, row).await?);
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
    let joined = tokio::task::spawn_blocking(move || coming.join());
    let Ok(leases) = joined.await? else { bail!("those who came and went panicked") };
    let leases = leases?;
    let last = room.client()?.presence(&room.channel).await?;
    for watcher in &mut watchers {
        watcher.until("all changes", |watcher| watcher.members.cursor() == last.cursor).await?;
        let known: Vec<&Member> =
            watcher.members.list().into_iter().flatten().map(|(_, member)| member).collect();
        same("the members", known, last.members.iter().flatten().collect())?;
    }
    drop(leases);
    room.close().await
}

/// A reader that comes back with its cursor gets the changes that it missed, and no state.
async fn resumes_without_a_state(cell: Cell) -> Result<()> {
    let (room, row) = (open(&cell).await?, cell.row()?);
    let (hub, channel) = (room.node.hub().clone(), name(&room)?);
    let enter = |id: &str| -> Result<_> { Ok(hub.enter(&channel, &who(id)?, Via::default())?) };
    let first = enter("a")?;
    let mut watcher = Watcher::open(&room, row).await?;
    for cut in 0..3 {
        let others = [enter("b")?, enter("c")?];
        watcher.reader.close();
        drop(others);
        let kept = enter("d")?;
        let begin =
            Begin::After(vec![(log(&room), watcher.cursor.clone()), ("side".into(), "lost-0".into())]);
        watcher.has_state = false;
        watcher.reader.open(&begin).await?;
        watcher.has(&["a", "d"]).await?;
        ensure!(!watcher.has_state, "a state came after a cursor");
        drop(kept);
        if cut > 0 {
            watcher.has(&["a"]).await?;
        }
    }
    watcher.has(&["a"]).await?;
    drop(first);
    room.close().await
}

/// A server that remembers nothing tells a gap; the state is read again.
async fn restart_tells_a_gap(cell: Cell) -> Result<()> {
    let (room, row) = (open(&cell).await?, cell.row()?);
    let client = room.client()?;
    client.enter(&room.channel, &Who::new("a")).await?;
    let watcher = Watcher::open(&room, row).await?;
    let cursor = watcher.cursor.clone();
    drop((watcher, client));
    let room = room.restart().await?;
    let mut watcher = Watcher::new(&room, row)?;
    let begin = Begin::After(vec![(log(&room), cursor), ("side".into(), "lost-0".into())]);
    watcher.reader.open(&begin).await?;
    let gap = async {
        loop {
            match watcher.reader.next().await?.context("the reader ended")? {
                Event::Gap(gap) if gap.channel == log(&room) => return Ok(gap),
                Event::Presence(state) => bail!("a state without having been asked for: {state:?}"),
                _ => {}
            }
        }
    };
    let gap = tokio::time::timeout(PATIENCE, gap).await.context("no gap")??;
    same("reason", gap.reason.as_str(), "epoch_changed")?;
    let state = room.client()?.presence(&room.channel).await?;
    same("nobody is there", (state.count, state.members), (0, Some(Vec::new())))?;
    watcher.take(&Event::Presence(room.client()?.presence(&room.channel).await?))?;
    room.client()?.enter(&room.channel, &Who::new("a")).await?;
    watcher.has(&["a"]).await?;
    room.close().await
}

/// Above the limit only the number is told, and seldom; below it again, all of them.
async fn many_are_counted(cell: Cell) -> Result<()> {
    let room = Room::with(&cell, |settings| {
        quick(settings);
        settings.limits.presence_members_max = 10;
        settings.times.presence_count_ms = 300;
    })
    .await?;
    let (hub, channel) = (room.node.hub().clone(), name(&room)?);
    let mut watcher = Watcher::open(&room, cell.row()?).await?;
    let begun = Instant::now();
    let mut leases = Vec::new();
    for n in 0..60 {
        leases.push(hub.enter(&channel, &who(&format!("m{n:02}"))?, Via::default())?);
    }
    watcher.until("their number", |watcher| watcher.members.count() == 60).await?;
    ensure!(watcher.members.list().is_none(), "they are listed");
    let state = room.client()?.presence(&room.channel).await?;
    same("the state", (state.count, state.members), (60, None))?;
    leases.truncate(9);
    watcher.until("a list", |watcher| watcher.members.list().is_some_and(|list| list.len() == 9)).await?;
    let offset = |cursor: &str| cursor.split_once('-').and_then(|(_, offset)| offset.parse::<u64>().ok());
    let told = offset(watcher.members.cursor()).context("a cursor")?;
    let most = 10 + 2 + begun.elapsed().as_millis() as u64 / 300;
    ensure!(told <= most, "{told} changes were told, where {most} suffice");
    leases.pop();
    watcher.until("one of nine leaves", |watcher| watcher.members.count() == 8).await?;
    drop(leases);
    watcher.has(&[]).await?;
    room.close().await
}

/// A stream that the server ends keeps its members for the time in which they come back.
async fn who_is_sent_away_stays(cell: Cell) -> Result<()> {
    let room = Room::with(&cell, |settings| {
        quick(settings);
        (settings.times.rotation_ms_min, settings.times.rotation_ms_max) = (150, 150);
        (settings.times.retry_ms_min, settings.times.retry_ms_max) = (0, 300);
    })
    .await?;
    let mut aim = room.aim(row_of(Kind::HttpStream)?, vec![room.channel.clone()])?;
    aim.query = vec![("member".into(), "a".into())];
    let mut reader = readers::reader(aim);
    reader.open(&Begin::Now).await?;
    let before = room.client()?.presence(&room.channel).await?;
    for _ in 0..3 {
        while reader.next().await?.is_some() {}
        reader.open(&Begin::Now).await?;
    }
    let after = room.client()?.presence(&room.channel).await?;
    same("it never left", after.cursor, before.cursor)?;
    drop(reader);
    room.close().await
}
