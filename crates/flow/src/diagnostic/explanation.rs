//! What each code means, at length.
//!
//! Owns the way from a code to its section of the documentation's page, which is the one place where the texts are. Must
//! not know how they are shown.

use super::Code;

const PAGE: &str = include_str!("../../../../docs/diagnostics.md");

/// A code explained: what is wrong, and what to write instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The section, as Markdown, without its heading.
    pub text: &'static str,
    /// A flow that gives this code and no other.
    pub bad: &'static str,
    /// The same without the mistake.
    pub good: &'static str,
}

impl Code {
    /// The code that is called so, in any case.
    ///
    /// ```
    /// use stepflow_flow::diagnostic::Code;
    /// assert_eq!(Code::from_name("e0403"), Some(Code::UndefinedStep));
    /// assert_eq!(Code::from_name("E9999"), None);
    /// ```
    pub fn from_name(name: &str) -> Option<Code> {
        let mut all = Code::ALL.iter();
        all.find(|code| code.name().eq_ignore_ascii_case(name))
            .copied()
    }

    /// What the code means, at length.
    pub fn explanation(self) -> Explanation {
        let mut sections = PAGE.split("\n## ").skip(1);
        let section = sections
            .find(|section| section.starts_with(self.name()))
            .expect("the page has a section for each code, which a test holds");
        let text = section.split_once('\n').map_or("", |(_, text)| text).trim();
        let mut fences = text.split("```").skip(1).step_by(2);
        let mut flow = || {
            let fence = fences.next().unwrap_or_default();
            fence.split_once('\n').map_or("", |(_, flow)| flow)
        };
        Explanation {
            text,
            bad: flow(),
            good: flow(),
        }
    }
}
