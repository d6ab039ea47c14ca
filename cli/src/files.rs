//! Manifests from files and standard input.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use hooklane_model::resource::{Document, parse_yaml};

use crate::error::CliError;

/// Where manifests are.
#[derive(Args, Clone, Debug, Default)]
pub struct FileArgs {
    /// File with one or more manifests, YAML or JSON; `-` is standard input; can be repeated
    #[arg(long = "file", short = 'f', value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
}

/// Reads all documents of all files, in their order.
///
/// # Errors
/// All problems of all files, each line beginning with its file.
pub fn read(files: &[PathBuf], input: &mut dyn Read) -> Result<Vec<Document>, CliError> {
    let mut documents = Vec::new();
    let mut problems = Vec::new();
    for file in files {
        let name = if is_input(file) {
            "standard input".to_owned()
        } else {
            file.display().to_string()
        };
        let text = match read_text(file, input) {
            Ok(text) => text,
            Err(error) => {
                problems.push(format!("{name}: cannot be read: {error}"));
                continue;
            }
        };
        match parse_yaml(&text) {
            Ok(found) if found.is_empty() => problems.push(format!("{name}: holds no manifest")),
            Ok(found) => documents.extend(found),
            Err(error) => {
                problems.extend(error.problems.iter().map(|p| format!("{name}: {p}")));
            }
        }
    }
    if problems.is_empty() {
        Ok(documents)
    } else {
        Err(CliError::Files(problems))
    }
}

fn is_input(file: &Path) -> bool {
    file == Path::new("-")
}

/// The text of a file, or of standard input.
pub(crate) fn read_text(file: &Path, input: &mut dyn Read) -> std::io::Result<String> {
    if is_input(file) {
        let mut text = String::new();
        input.read_to_string(&mut text)?;
        Ok(text)
    } else {
        std::fs::read_to_string(file)
    }
}
