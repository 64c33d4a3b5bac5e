//! The file, those that it includes, and the environment, laid into one table.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern};

use super::environment::{self, Override};
use super::notes::Notes;
use super::problem::{Place, Problem};
use super::section::{Placed, Section};
use super::tree::{self, Node, Table};

/// What a configuration is read from.
pub struct Sources<'a> {
    pub main: &'a Path,
    pub text: &'a str,
    /// Files beside those that are there, or in their place, which need not be written yet.
    pub beside: &'a [(PathBuf, String)],
    pub environment: Vec<(OsString, OsString)>,
}

/// Files to read besides.
#[derive(Clone, Debug)]
pub struct Include {
    /// As it was written.
    written: String,
    /// From the folder of the file that names them.
    pattern: String,
    /// That folder.
    folder: PathBuf,
    place: Place,
}

impl Include {
    /// Where a file of this name would be read.
    pub fn file_named(&self, name: &str) -> Option<PathBuf> {
        let path = self.folder.join(&self.written).with_file_name(name);
        self.matches(&path).then_some(path)
    }

    /// Whether a file of this path would be read.
    pub fn matches(&self, path: &Path) -> bool {
        Pattern::new(&self.pattern).is_ok_and(|pattern| pattern.matches_path_with(path, OPTIONS))
    }
}

/// Editors leave hidden files behind, and a folder's files are not those of the folders in it.
const OPTIONS: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// All of it as one table, and what it includes; none if some file is no TOML, or is not there.
pub fn read(sources: Sources<'_>, notes: &Notes) -> Option<(Table, Vec<Include>)> {
    let overrides = environment::overrides(sources.environment);
    let (include, others): (Vec<Override>, Vec<Override>) = overrides.into_iter().partition(Override::is_include);
    let mut table = tree::parse(sources.main, sources.text, notes)?;
    include.iter().for_each(|variable| variable.apply(&mut table, notes));
    let includes = includes(&mut table, sources.main, notes);
    let (mut texts, mut whole) = texts(&includes, sources.main, notes);
    texts.retain(|(file, _)| sources.beside.iter().all(|(beside, _)| !is_same(beside, file)));
    for (file, text) in texts.iter().chain(sources.beside) {
        match tree::parse(file, text, notes) {
            Some(more) => merge(&mut table, more, notes),
            None => whole = false,
        }
    }
    others.iter().for_each(|variable| variable.apply(&mut table, notes));
    whole.then_some((table, includes))
}

fn merge(table: &mut Table, mut more: Table, notes: &Notes) {
    if let Some(Node { place, .. }) = more.remove("include") {
        notes.note(Problem::error(&place, "include", "stands in an included file", "name all files in the first one"));
    }
    tree::merge(table, more, "", notes);
}

/// Takes `include` out of the table.
fn includes(table: &mut Table, main: &Path, notes: &Notes) -> Vec<Include> {
    let texts = Section::root(table, Place::Line { file: main.into(), line: 1 }, notes).texts("include");
    table.remove("include");
    let of = |Placed { value: written, place }| {
        let folder = notes.folder(&place).to_owned();
        let escaped = Pattern::escape(&folder.to_string_lossy());
        let pattern = Path::new(&escaped).join(&written).to_string_lossy().into_owned();
        Include { written, pattern, folder, place }
    };
    texts.into_iter().map(of).collect()
}

/// Path and text of every included file that there is, each once, in the order of the patterns and then of their names;
/// and whether none is missing or unreadable.
fn texts(includes: &[Include], main: &Path, notes: &Notes) -> (Vec<(PathBuf, String)>, bool) {
    let mut whole = true;
    let mut found: Vec<(PathBuf, String)> = Vec::new();
    for include in includes {
        let mut fail = |what: String, mend: &str| {
            notes.note(Problem::error(&include.place, "include", what, mend));
            whole = false;
        };
        let Ok(paths) = glob::glob_with(&include.pattern, OPTIONS) else {
            fail("is no pattern".into(), "write it as \"destinations.d/*.toml\"");
            continue;
        };
        let paths: Vec<PathBuf> = paths.filter_map(Result::ok).filter(|path| !path.is_dir()).collect();
        if paths.is_empty() && !include.written.contains(['*', '?', '[']) {
            fail("names a file that is not there".into(), "write it, or take its name out");
        }
        for path in paths {
            if is_same(&path, main) || found.iter().any(|(known, _)| is_same(known, &path)) {
                continue;
            }
            match std::fs::read_to_string(&path) {
                Ok(text) => found.push((path, text)),
                Err(error) => fail(format!("names {}, which cannot be read: {error}", path.display()), ""),
            }
        }
    }
    (found, whole)
}

fn is_same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    one == other || real(one) == real(other)
}
