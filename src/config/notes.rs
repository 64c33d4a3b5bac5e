//! What is noted while the configuration is read: what is wrong with it, and which keys were asked for.

use std::cell::RefCell;
use std::path::Path;

use super::catalogue::{Asked, Form};
use super::problem::{Place, Problem};

pub struct Notes {
    /// The file that includes the others. Paths in environment variables count from its folder.
    main: Box<Path>,
    problems: RefCell<Vec<Problem>>,
    asked: RefCell<Vec<Asked>>,
}

impl Notes {
    pub fn new(main: &Path) -> Self {
        Self { main: main.into(), problems: RefCell::default(), asked: RefCell::default() }
    }

    pub fn note(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    pub fn ask(&self, key: String, form: Form) {
        self.asked.borrow_mut().push(Asked { key, form });
    }

    /// Where relative paths count from that were written there.
    pub fn folder<'p>(&'p self, place: &'p Place) -> &'p Path {
        place.file().unwrap_or(&self.main).parent().unwrap_or(Path::new(""))
    }

    /// In the order of the files, the main one first, the environment last.
    pub fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        let rank = |place: &Place| match place {
            Place::Line { file, line } => (u8::from(**file != *self.main), file.to_path_buf(), *line),
            Place::Variable(name) => (2, Path::new(&**name).to_path_buf(), 0),
        };
        problems.sort_by_cached_key(|problem| rank(&problem.place));
        problems
    }

    pub fn into_asked(self) -> Vec<Asked> {
        self.asked.into_inner()
    }
}
