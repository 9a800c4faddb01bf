//! Every limit and every time of the server, each in one table: the struct, its defaults, `/info` and the docs derive
//! from it. Nothing is unlimited. How a value gets here (file, flag, environment) is the server's business.

use crate::log::{ReadMost, Retention};
use crate::position::write_decimal;
use crate::wire::json;

/// One line of [`LIMITS`] or [`TIMES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitRow {
    /// The name in the configuration, in `/info` and in problems.
    pub name: &'static str,
    /// What is counted.
    pub unit: &'static str,
    /// The value without configuration.
    pub default: u64,
    /// What it bounds.
    pub meaning: &'static str,
}

macro_rules! table {
    ($(#[$doc:meta])* $struct:ident $rows:ident $($name:ident $type:ident $unit:literal $default:literal $meaning:literal;)*) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $struct {
            $(#[doc = concat!($meaning, " Unit: ", $unit, "; default ", stringify!($default), ".")] pub $name: $type,)*
        }

        impl Default for $struct {
            fn default() -> Self {
                Self { $($name: $default,)* }
            }
        }

        #[doc = concat!("The lines of [`", stringify!($struct), "`], in the order of the docs.")]
        pub const $rows: &[LimitRow] = &[
            $(LimitRow { name: stringify!($name), unit: $unit, default: $default, meaning: $meaning },)*
        ];

        impl $struct {
            /// Each line with the value in force.
            pub fn values(&self) -> impl Iterator<Item = (&'static LimitRow, u64)> {
                $rows.iter().zip([$(self.$name as u64,)*])
            }

            /// Sets a value by its name; `false` where there is no such name.
            pub fn set(&mut self, name: &str, value: u64) -> bool {
                match name {
                    $(stringify!($name) => self.$name = value as $type,)*
                    _ => return false,
                }
                true
            }

            /// A JSON object of all names and values in force.
            #[must_use]
            pub fn to_json(&self) -> String {
                object(self.values())
            }
        }
    };
}

table! {
    /// How much of everything there may be.
    Limits LIMITS
    message_bytes_max usize "bytes" 65_536 "The largest payload of one message.";
    retention_messages_max usize "messages" 10_000 "How many messages a channel keeps.";
    retention_bytes_max usize "bytes" 8_388_608 "How many bytes of messages a channel keeps.";
    retention_ms_max u64 "ms" 3_600_000 "How old a message in a channel may become.";
    channels_max usize "channels" 100_000 "How many channels may hold messages.";
    log_bytes_max usize "bytes" 536_870_912 "How many bytes of messages all channels keep; the least recently used is trimmed first. Each form that is read besides (SSE, NDJSON, compressed WebSocket) keeps a copy.";
    stubs_max usize "channels" 100_000 "How many channels without messages are remembered with their last position.";
    keys_max usize "keys" 100_000 "How many idempotency keys a channel remembers.";
    node_keys_max usize "keys" 500_000 "How many idempotency keys all channels remember together.";
    key_window_ms u64 "ms" 300_000 "How long an idempotency key is remembered.";
    batch_messages_max usize "messages" 1_000 "The greatest `limit` of a poll.";
    batch_messages_default usize "messages" 100 "The `limit` of a poll that names none.";
    batch_bytes_max usize "bytes" 1_048_576 "How many bytes of messages one batch has at most; one message always fits.";
    subscribe_channels_max usize "channels" 100 "How many channels one response of `/subscribe` may have.";
    socket_channels_max usize "channels" 10_000 "How many channels one `/socket` may have.";
    connections_max usize "connections" 100_000 "How many connections the server holds.";
    address_connections_max usize "connections" 1_000 "How many connections one address may have (IPv6: one /64). Networks in `unlimited` have no such limit.";
    connection_publishes_per_s_max u64 "messages" 1_000 "How many messages a second one connection may publish; as many may come at once.";
    connection_bytes_per_s_max usize "bytes" 4_194_304 "How many bytes of payloads a second one connection may publish.";
    user_publishes_per_s_max u64 "messages" 5_000 "How many messages a second one user may publish over all connections; who is nobody's user is counted by address.";
    user_bytes_per_s_max usize "bytes" 16_777_216 "How many bytes of payloads a second one user, or one address, may publish.";
    key_publishes_per_s_max u64 "messages" 100_000 "How many messages a second one server key may publish.";
    key_bytes_per_s_max usize "bytes" 268_435_456 "How many bytes of payloads a second one server key may publish.";
    body_bytes_per_s_min u64 "bytes" 1_024 "How fast the body of a request has to arrive, after its first seconds (`body_grace_ms`).";
    handshake_bytes_max usize "bytes" 32_768 "How many bytes a client may send for its TLS handshake.";
    unauthorized_bytes_max usize "bytes" 16_384 "The largest message of a socket that has to show a token and has not.";
    head_bytes_max usize "bytes" 65_536 "The largest head of a request: first line and headers.";
    headers_max usize "headers" 100 "How many headers a request may have.";
    memory_bytes_max usize "bytes" 0 "How many bytes of memory the server takes in all before it cuts the largest debtors, trims logs and refuses what is new. 0: three quarters of what the machine or its control group has.";
    presence_members_max usize "members" 100 "Up to how many members of a channel are told one by one; of more only the number is told.";
    presence_leases_max usize "leases" 100_000 "How many leases the members of all channels hold: one for each tab and transport.";
    presence_member_leases_max usize "leases" 100 "How many leases one member may hold in one channel.";
    presence_enters_max usize "channels" 100 "How many channels one response or socket may enter.";
    presence_name_bytes_max usize "bytes" 128 "The longest name of a member.";
    presence_data_bytes_max usize "bytes" 1_024 "The largest data of a member.";
    presence_states_bytes_max usize "bytes" 1_048_576 "How many bytes of members the states have together with which one response of `/subscribe` begins; one state always fits.";
    presence_log_messages_max usize "messages" 1_000 "How many changes of its members a channel keeps.";
    presence_log_ms_max u64 "ms" 600_000 "How old a change of a channel's members may become.";
    lab_messages_per_s_max u64 "messages" 200 "How many messages a second one run of the lab may publish.";
    lab_message_bytes_max u64 "bytes" 16_384 "The largest payload that a run of the lab may publish.";
    lab_runs_max usize "runs" 10 "How many runs of the lab go on at once; one visitor has one.";
    lab_visitors_max usize "visitors" 100 "How many visitors' networks the lab remembers.";
    lab_connections_max usize "connections" 500 "How many connections go through the lab's networks.";
    lab_visitor_connections_max usize "connections" 32 "How many connections of one visitor go through the lab.";
}

table! {
    /// How long everything lasts.
    Times TIMES
    heartbeat_ms u64 "ms" 15_000 "The time between two heartbeats of a stream or socket.";
    hold_ms u64 "ms" 25_000 "How long a long poll waits when it names no time.";
    hold_ms_min u64 "ms" 1_000 "The shortest wait of a long poll.";
    hold_ms_max u64 "ms" 110_000 "The longest wait of a long poll.";
    poll_interval_ms u64 "ms" 2_000 "When a short poll should come back (`Retry-After`).";
    rotation_ms_min u64 "ms" 600_000 "The shortest life of a stream.";
    rotation_ms_max u64 "ms" 900_000 "The longest life of a stream.";
    retry_ms_min u64 "ms" 1_000 "The shortest delay that a stream's `retry` asks for.";
    retry_ms_max u64 "ms" 5_000 "The longest delay that a stream's `retry` asks for.";
    ping_ms u64 "ms" 25_000 "The time between two pings of a WebSocket.";
    silent_ms_max u64 "ms" 45_000 "How long a peer may be silent before it is given up, unless it still takes what stands before a ping.";
    stall_ms_max u64 "ms" 60_000 "How long a connection may take nothing, or next to nothing, of what is owed to it.";
    handshake_ms_max u64 "ms" 10_000 "How long the TLS handshake of a connection may take.";
    head_ms_max u64 "ms" 15_000 "How long the head of a request may take to arrive.";
    body_ms_max u64 "ms" 30_000 "How long the body of a request, or a message of a WebSocket that has begun, may take to arrive.";
    body_grace_ms u64 "ms" 5_000 "How long the body of a request may be slower than `body_bytes_per_s_min`.";
    unauthorized_ms_max u64 "ms" 10_000 "How long a socket may stay that has to show a token and has not.";
    idle_ms_max u64 "ms" 120_000 "How long a connection may stay open between two requests.";
    drain_delay_ms u64 "ms" 0 "How long a server that is to go away serves everybody as before, while `/readyz` says already that nobody new is to come: what a load balancer needs to notice.";
    drain_ms_max u64 "ms" 10_000 "How long a server that goes away waits for its connections.";
    presence_grace_ms u64 "ms" 5_000 "How long a member that polls stays when its next poll is due.";
    presence_lease_ms u64 "ms" 30_000 "How long a member stays that entered by PUT.";
    presence_count_ms u64 "ms" 1_000 "The least time between two numbers of members where only the number is told.";
    replay_ms u64 "ms" 120_000 "How far back a reader that may subscribe, but not read the history, may come back to.";
    lab_run_ms_max u64 "ms" 60_000 "The longest run of the lab.";
    lab_wait_ms_max u64 "ms" 10_000 "The longest wait before the first message of a run of the lab.";
    lab_delay_ms_max u64 "ms" 10_000 "The longest delay of the lab's network, there and back.";
    lab_faults_ms u64 "ms" 120_000 "How long the faults of a visitor's network last when nobody sets them again; then the visitor is forgotten, too.";
}

impl Limits {
    /// What a log keeps and remembers.
    #[must_use]
    pub fn retention(&self) -> Retention {
        Retention {
            messages_max: self.retention_messages_max,
            bytes_max: self.retention_bytes_max,
            age_ms_max: self.retention_ms_max,
            keys_max: self.keys_max,
            key_window_ms: self.key_window_ms,
        }
    }

    /// What the log of a channel's members keeps.
    #[must_use]
    pub fn presence_retention(&self) -> Retention {
        Retention {
            messages_max: self.presence_log_messages_max,
            age_ms_max: self.presence_log_ms_max.min(self.retention_ms_max),
            ..self.retention()
        }
    }

    /// How much one batch takes when `messages` were asked for (`None`: the default), within the limits.
    #[must_use]
    pub fn batch(&self, messages: Option<usize>) -> ReadMost {
        let messages = messages.unwrap_or(self.batch_messages_default).min(self.batch_messages_max);
        ReadMost { messages, bytes: self.batch_bytes_max }
    }
}

fn object(values: impl Iterator<Item = (&'static LimitRow, u64)>) -> String {
    let mut out = vec![b'{'];
    for (row, value) in values {
        if out.len() > 1 {
            out.push(b',');
        }
        json::write_string(row.name, &mut out);
        out.push(b':');
        write_decimal(value, &mut out);
    }
    out.push(b'}');
    String::from_utf8(out).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_and_the_struct_agree() {
        let mut limits = Limits::default();
        for (n, row) in LIMITS.iter().enumerate() {
            assert!(limits.set(row.name, n as u64));
        }
        assert!(
            limits
                .values()
                .enumerate()
                .all(|(n, (row, value))| row.name == LIMITS[n].name && value == n as u64)
        );
        assert!(!limits.set("nothing", 1));
        assert!(Times::default().values().all(|(row, value)| row.default == value));
        let json: serde_json::Value = serde_json::from_str(&Limits::default().to_json()).unwrap();
        assert_eq!(json["message_bytes_max"], 65_536);
        assert_eq!(json.as_object().unwrap().len(), LIMITS.len());
    }

    #[test]
    fn a_batch_stays_within_the_limits() {
        let limits = Limits::default();
        assert_eq!(limits.batch(None).messages, 100);
        assert_eq!(limits.batch(Some(5000)).messages, 1000);
        assert_eq!(limits.batch(Some(7)).messages, 7);
    }
}
