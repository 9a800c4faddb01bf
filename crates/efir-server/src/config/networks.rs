//! Networks as configurations name them: `10.0.0.0/8`, `2001:db8::/32`, or a single address.

use std::{fmt, net::IpAddr, str::FromStr};

/// Whose connections are treated differently.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trust {
    /// Networks without limits by address.
    pub unlimited: Vec<Cidr>,
    /// Networks of proxies that say for whom they ask.
    pub proxies: Vec<Cidr>,
    /// Where they write it.
    pub written: Written,
}

/// The header in which proxies write whom they were asked by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Written {
    /// `X-Forwarded-For`.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

impl Written {
    /// Their names in the configuration.
    pub const NAMES: &[&str] = &["x-forwarded-for", "forwarded"];

    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        if name == "forwarded" { Self::Forwarded } else { Self::XForwardedFor }
    }
}

/// The addresses that begin with the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    first: u128,
    bits: u32,
    is_v6: bool,
}

/// An address as one number; IPv4 in its mapped form, so that one comparison serves both families.
fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().into(),
        IpAddr::V6(address) => address.into(),
    }
}

fn mask(bits: u32) -> u128 {
    u128::MAX.checked_shl(128 - bits).unwrap_or(0)
}

impl Cidr {
    /// Whether the address is one of them. An IPv4 address that came over an IPv6 socket is that IPv4 address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        number(address) & mask(self.bits) == self.first
    }
}

impl FromStr for Cidr {
    type Err = ();

    /// Reads an address with or without the number of its first bits; what stands behind those has to be 0.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| ())?;
        let (most, before) = if address.is_ipv4() { (32, 96) } else { (128, 0) };
        let own = match bits {
            Some(bits) if bits.bytes().all(|digit| digit.is_ascii_digit()) => bits.parse().map_err(|_| ())?,
            Some(_) => return Err(()),
            None => most,
        };
        let cidr = Self { first: number(address), bits: before + own, is_v6: address.is_ipv6() };
        (own <= most && cidr.first & !mask(cidr.bits) == 0).then_some(cidr).ok_or(())
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = std::net::Ipv6Addr::from(self.first);
        match address.to_ipv4_mapped().filter(|_| !self.is_v6) {
            Some(address) => write!(f, "{address}/{}", self.bits - 96),
            None => write!(f, "{address}/{}", self.bits),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        for (text, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
            ("0.0.0.0/0", "255.1.2.3", "2001:db8::1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("::1/128", "::1", "::2"),
            ("::/0", "10.0.0.1", "::ffff:1.2.3.4/none"),
            ("127.0.0.0/8", "::ffff:127.0.0.1", "::ffff:128.0.0.1"),
        ] {
            let cidr: Cidr = text.parse().unwrap();
            assert!(cidr.contains(inside.parse().unwrap()), "{text} {inside}");
            if let Ok(outside) = outside.parse() {
                assert!(!cidr.contains(outside), "{text} {outside}");
            }
            assert_eq!(cidr.to_string().parse(), Ok(cidr), "{cidr}");
        }
    }

    #[test]
    fn what_is_no_network() {
        for text in [
            "",
            "10.0.0.1/8",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0.0/-1",
            "::/129",
            "host",
            "1.2.3",
        ] {
            assert_eq!(text.parse::<Cidr>(), Err(()), "{text}");
        }
    }
}
