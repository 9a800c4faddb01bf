//! What strangers meet: limits by address, by pace and in all. Each refusal names its limit, and nobody else is disturbed by it.

mod addresses;
mod memory;
mod pace;
mod rates;

use serde_json::Value;

use super::scenarios;

scenarios! { "limits";
    Carriers connections_of_an_address: "wire";
    Carriers a_stranger_says_nothing_of_itself: "wire";
    Carriers behind_a_trusted_proxy: "wire";
    Carriers proxy_protocol: "wire";
    Carriers publishes_of_a_connection: "wire";
    Carriers publishes_of_an_address: "wire";
    Carriers publishes_on_a_socket: "wire";
    Carriers slow_body: "wire";
    Carriers slow_message: "wire";
    Carriers head_too_large: "wire";
    Carriers idle_http2: "wire";
    Carriers idle_http2_behind_a_socket: "wire";
    Carriers memory_in_all: "wire";
}

use addresses::{
    a_stranger_says_nothing_of_itself, behind_a_trusted_proxy, connections_of_an_address, proxy_protocol,
};
use memory::memory_in_all;
use pace::{head_too_large, idle_http2, idle_http2_behind_a_socket, slow_body, slow_message};
use rates::{publishes_of_a_connection, publishes_of_an_address, publishes_on_a_socket};

/// The name of the limit that a problem tells.
fn limit_of(problem: &Value) -> Option<&str> {
    problem["limit"]["name"].as_str()
}
