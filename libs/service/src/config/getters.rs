//! The typed getters. Each returns a value at once, a placeholder if there is
//! none; what was wrong is recorded.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use hooklane_model::duration::{self, DurationError};
use ipnet::IpNet;

use super::bytes;
use super::keys::Keys;
use super::secret::{Secret, SecretMap};
use super::spec::{KeySpec, Kind};

const EMPTY: &str = "is empty; give it a value or remove the key";

impl Keys {
    /// A text that must be there (or has a default).
    pub fn string(&mut self, spec: &'static KeySpec) -> String {
        self.opt_string(spec).unwrap_or_default()
    }

    /// A text, or `None` when unset.
    pub fn opt_string(&mut self, spec: &'static KeySpec) -> Option<String> {
        debug_assert_eq!(spec.kind, Kind::Text, "{}", spec.path);
        self.scalar(spec, |text| {
            if text.is_empty() {
                Err(EMPTY.into())
            } else {
                Ok(text.into())
            }
        })
    }

    /// A text that is masked from here on, or `None` when unset.
    pub fn opt_secret(&mut self, spec: &'static KeySpec) -> Option<Secret> {
        debug_assert!(spec.secret, "{} is not declared secret", spec.path);
        self.opt_string(spec).map(Secret::new)
    }

    /// A duration.
    pub fn duration(&mut self, spec: &'static KeySpec) -> Duration {
        self.duration_within(spec, Duration::ZERO..=Duration::MAX)
    }

    /// A duration within bounds.
    pub fn duration_within(
        &mut self,
        spec: &'static KeySpec,
        range: RangeInclusive<Duration>,
    ) -> Duration {
        debug_assert_eq!(spec.kind, Kind::Duration, "{}", spec.path);
        let read = self.scalar(spec, |text| match duration::parse(text) {
            Ok(value) if range.contains(&value) => Ok(value),
            Ok(_) => Err(format!(
                "is out of range; allowed is {} to {}",
                duration::format(*range.start()),
                duration::format(*range.end())
            )),
            Err(DurationError::TooLong(_)) => Err("is too long a duration".to_owned()),
            Err(DurationError::Syntax(_)) => {
                Err("is not a duration; write as in 250ms, 15s, 5m, 1h30m".to_owned())
            }
        });
        read.unwrap_or(Duration::ZERO)
    }

    /// A size in bytes.
    pub fn bytes(&mut self, spec: &'static KeySpec, range: RangeInclusive<u64>) -> u64 {
        debug_assert_eq!(spec.kind, Kind::Bytes, "{}", spec.path);
        let read = self.scalar(spec, |text| match bytes::parse(text) {
            Some(value) if range.contains(&value) => Ok(value),
            Some(_) => Err(format!(
                "is out of range; allowed is {} to {}",
                bytes::format(*range.start()),
                bytes::format(*range.end())
            )),
            None => Err("is not a size; write as in 512B, 64KiB, 256MiB, 1GiB".to_owned()),
        });
        read.unwrap_or(0)
    }

    /// A whole number within bounds: u16, u32, u64 or usize.
    pub fn integer<T>(&mut self, spec: &'static KeySpec, range: RangeInclusive<T>) -> T
    where
        T: FromStr + PartialOrd + Display + Copy,
    {
        debug_assert_eq!(spec.kind, Kind::Integer, "{}", spec.path);
        self.in_range(spec, "a whole number", range)
    }

    /// A number within bounds.
    pub fn number(&mut self, spec: &'static KeySpec, range: RangeInclusive<f64>) -> f64 {
        debug_assert_eq!(spec.kind, Kind::Number, "{}", spec.path);
        self.in_range(spec, "a number", range)
    }

    /// `true` or `false`.
    pub fn bool(&mut self, spec: &'static KeySpec) -> bool {
        debug_assert_eq!(spec.kind, Kind::Bool, "{}", spec.path);
        let read = self.scalar(spec, |text| match text.to_ascii_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("is neither `true` nor `false`".to_owned()),
        });
        read.unwrap_or_default()
    }

    /// An address to listen on, IPv4 or IPv6, with its port.
    pub fn socket_addr(&mut self, spec: &'static KeySpec) -> SocketAddr {
        debug_assert_eq!(spec.kind, Kind::Address, "{}", spec.path);
        let read = self.scalar(spec, |text| {
            let hint = "is not an address; write as in 0.0.0.0:9464, 127.0.0.1:0 or [::]:9464";
            text.parse().map_err(|_| hint.to_owned())
        });
        read.unwrap_or_else(|| (Ipv4Addr::UNSPECIFIED, 0).into())
    }

    /// One of the words in `choices`, which must be those of the spec.
    pub fn choice<T: Copy>(&mut self, spec: &'static KeySpec, choices: &[(&str, T)]) -> Option<T> {
        debug_assert!(
            matches!(spec.kind, Kind::Choice(words) if words.iter().eq(choices.iter().map(|(w, _)| w))),
            "{}",
            spec.path
        );
        self.scalar(spec, |text| {
            let found = choices
                .iter()
                .find(|(word, _)| *word == text)
                .map(|(_, value)| *value);
            found.ok_or_else(|| {
                let words: Vec<_> = choices
                    .iter()
                    .map(|(word, _)| format!("`{word}`"))
                    .collect();
                format!("is not one of {}", words.join(", "))
            })
        })
    }

    /// Texts. A required list must have one.
    pub fn string_list(&mut self, spec: &'static KeySpec) -> Vec<String> {
        debug_assert_eq!(spec.kind, Kind::TextList, "{}", spec.path);
        self.list(spec, |text| Ok(text.to_owned()))
    }

    /// Networks in CIDR notation; a single address is a network of one.
    pub fn cidr_list(&mut self, spec: &'static KeySpec) -> Vec<IpNet> {
        debug_assert_eq!(spec.kind, Kind::CidrList, "{}", spec.path);
        self.list(spec, |text| {
            let network: IpNet = text
                .parse()
                .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
                .map_err(|_| "is not a network; write as in 10.0.0.0/8 or fd00::/8")?;
            if network.trunc() == network {
                Ok(network)
            } else {
                Err(format!(
                    "has bits set beyond its prefix; write {}",
                    network.trunc()
                ))
            }
        })
    }

    /// A mapping of texts, merged from file and environment, its values masked.
    pub fn string_map(&mut self, spec: &'static KeySpec) -> SecretMap {
        debug_assert_eq!(spec.kind, Kind::TextMap, "{}", spec.path);
        let entries = self.layers.maps.get(spec.path);
        let plain = entries
            .into_iter()
            .flatten()
            .map(|(name, (value, _))| (name.clone(), value.clone()))
            .collect();
        SecretMap::new(plain)
    }

    fn in_range<T>(&mut self, spec: &'static KeySpec, what: &str, range: RangeInclusive<T>) -> T
    where
        T: FromStr + PartialOrd + Display + Copy,
    {
        let bounds = format!("{} to {}", range.start(), range.end());
        let read = self.scalar(spec, |text| match text.trim().parse::<T>() {
            Ok(value) if range.contains(&value) => Ok(value),
            Ok(_) => Err(format!("is out of range; allowed is {bounds}")),
            Err(_) => Err(format!("is not {what} of {bounds}")),
        });
        read.unwrap_or(*range.start())
    }
}
