//! A configuration from values alone.

use super::{CommonConfig, ConfigErrors, Keys, Section};

/// Reads a service's configuration from `given` values, without a file and
/// without the environment: for whoever runs a service inside another process,
/// and for tests.
///
/// # Errors
/// Every problem, as for a file.
pub fn read_given<C>(
    sections: &[&'static Section],
    given: impl IntoIterator<Item = (impl AsRef<str>, impl Into<String>)>,
    read: impl FnOnce(&mut Keys, &CommonConfig) -> C,
) -> Result<(CommonConfig, C), ConfigErrors> {
    let common = CommonConfig::SECTIONS.iter();
    let sections: Vec<_> = common.chain(sections).copied().collect();
    let mut keys = Keys::new(&sections);
    for (path, value) in given {
        keys = keys.given(path.as_ref(), value);
    }
    let common = CommonConfig::read(&mut keys);
    let config = read(&mut keys, &common);
    keys.finish()?;
    Ok((common, config))
}
