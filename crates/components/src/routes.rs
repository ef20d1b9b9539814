//! From a component's path to a plugin and the name the plugin knows it by. Pure; knows plugins by name only.
//!
//! A pattern is made of segments: `text`, `{name}` for any one segment, `{*name}` at the end for any number of them. Of
//! several patterns that match, the most specific is tried first: text before `{name}` before `{*name}`, from the left.

use stepflow_flow::value::Value;

use crate::options::Condition;
use crate::options::Options;
use crate::options::Route;
use crate::options::Rule;

/// The compiled table.
#[derive(Clone, Debug)]
pub struct Routes {
    entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    pattern: Vec<Segment>,
    rules: Vec<Rule>,
}

// The order of the variants is the order of preference.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    Text(String),
    One,
    Rest,
}

/// Where a path goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// The plugin's name.
    pub plugin: &'a str,
    /// What the plugin calls the component, with a leading slash.
    pub component: String,
}

/// What is wrong with a table of routes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// A pattern that cannot be read.
    #[error("the route `{pattern}` {why}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong.
        why: &'static str,
    },
    /// A rule names a plugin that is not there.
    #[error(
        "the route `{pattern}` names the plugin `{plugin}`, which does not exist; there are: {known}"
    )]
    NoPlugin {
        /// The pattern.
        pattern: String,
        /// The name.
        plugin: String,
        /// The names that exist.
        known: String,
    },
}

impl Routes {
    /// Compiles the table, or the default one: `/<plugin>/{*component}` for each plugin.
    ///
    /// # Errors
    /// Every [`RouteError`] found.
    pub fn compile(options: &Options) -> Result<Routes, Vec<RouteError>> {
        let default;
        let routes = if options.routes.is_empty() {
            default = options
                .plugins
                .keys()
                .map(|plugin| whole_plugin(plugin))
                .collect();
            &default
        } else {
            &options.routes
        };
        let mut errors = Vec::new();
        let mut entries = Vec::new();
        for route in routes {
            errors.extend(unknown_plugins(route, options));
            match parse(&route.pattern) {
                Ok(pattern) => entries.push(Entry {
                    pattern,
                    rules: route.rules.clone(),
                }),
                Err(why) => errors.push(RouteError::Pattern {
                    pattern: route.pattern.clone(),
                    why,
                }),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        // Stable: equal patterns keep the order of the configuration.
        entries.sort_by(|left, right| left.pattern.cmp(&right.pattern));
        Ok(Routes { entries })
    }

    /// Where this path goes with this input; `None` when no rule takes it.
    pub fn find(&self, path: &str, input: &Value) -> Option<Target<'_>> {
        self.candidates(path)
            .find(|(rule, _)| {
                rule.conditions
                    .iter()
                    .all(|condition| holds(condition, input))
            })
            .map(|(rule, component)| Target {
                plugin: &rule.plugin,
                component,
            })
    }

    /// Whether some input could bring this path somewhere.
    pub fn reaches(&self, path: &str) -> bool {
        self.candidates(path).next().is_some()
    }

    /// The paths under which a plugin's component can be called, conditions aside.
    pub fn paths_to(&self, plugin: &str, component: &str) -> Vec<String> {
        let mut paths = Vec::new();
        for entry in &self.entries {
            for rule in entry.rules.iter().filter(|rule| rule.plugin == plugin) {
                let path = path_of(&entry.pattern, rule, component);
                if let Some(path) = path.filter(|path| !paths.contains(path)) {
                    paths.push(path);
                }
            }
        }
        paths
    }

    fn candidates<'a>(&'a self, path: &str) -> impl Iterator<Item = (&'a Rule, String)> {
        let path = path.to_owned();
        self.entries.iter().flat_map(move |entry| {
            let remainder = remainder(&entry.pattern, &path);
            entry.rules.iter().filter_map(move |rule| {
                let remainder = without_prefix(remainder.as_ref()?, &rule.plugin);
                let component = rule.component.as_deref().unwrap_or(remainder);
                passes(rule, component).then(|| (rule, component.to_owned()))
            })
        })
    }
}

/// Servers know a component by `/<plugin>/x` too: what the lists are asked about must be what the server would run.
fn without_prefix<'a>(remainder: &'a str, plugin: &str) -> &'a str {
    let mut rest = remainder;
    while let Some(shorter) = rest
        .trim_start_matches('/')
        .strip_prefix(plugin)
        .filter(|rest| rest.starts_with('/'))
    {
        rest = shorter;
    }
    rest
}

fn whole_plugin(plugin: &str) -> Route {
    let rule = Rule {
        plugin: plugin.to_owned(),
        ..Rule::default()
    };
    Route {
        pattern: format!("/{plugin}/{{*component}}"),
        rules: vec![rule],
    }
}

fn unknown_plugins(route: &Route, options: &Options) -> Vec<RouteError> {
    let known = || {
        options
            .plugins
            .keys()
            .cloned()
            .collect::<Vec<_>>()
            .join(", ")
    };
    let missing = route
        .rules
        .iter()
        .filter(|rule| !options.plugins.contains_key(&rule.plugin));
    missing
        .map(|rule| RouteError::NoPlugin {
            pattern: route.pattern.clone(),
            plugin: rule.plugin.clone(),
            known: known(),
        })
        .collect()
}

fn parse(pattern: &str) -> Result<Vec<Segment>, &'static str> {
    let Some(rest) = pattern.strip_prefix('/') else {
        return Err("must start with a slash");
    };
    let mut segments = Vec::new();
    for text in rest.split('/') {
        if segments.last() == Some(&Segment::Rest) {
            return Err("has something after `{*…}`, which takes all that is left");
        }
        segments.push(
            match text
                .strip_prefix('{')
                .and_then(|text| text.strip_suffix('}'))
            {
                Some(name) if name.starts_with('*') => Segment::Rest,
                Some(_) => Segment::One,
                None if text.is_empty() => return Err("has an empty segment"),
                None if text.contains(['{', '}']) => return Err("has a brace inside a segment"),
                None => Segment::Text(text.to_owned()),
            },
        );
    }
    Ok(segments)
}

/// What of the path is the component: what `{*name}` took, else what the last `{name}` took, else the whole path.
fn remainder(pattern: &[Segment], path: &str) -> Option<String> {
    let mut segments = path.strip_prefix('/')?.split('/');
    let mut last_one = None;
    for segment in pattern {
        match segment {
            Segment::Rest => {
                let rest = segments.collect::<Vec<_>>().join("/");
                return (!rest.is_empty()).then(|| format!("/{rest}"));
            }
            Segment::One => last_one = Some(segments.next()?),
            Segment::Text(text) => {
                segments.next().filter(|segment| segment == text)?;
            }
        }
    }
    if segments.next().is_some() {
        return None;
    }
    Some(last_one.map_or_else(|| path.to_owned(), |segment| format!("/{segment}")))
}

fn path_of(pattern: &[Segment], rule: &Rule, component: &str) -> Option<String> {
    let renamed = rule.component.as_deref();
    if renamed
        .is_some_and(|renamed| renamed.trim_start_matches('/') != component.trim_start_matches('/'))
    {
        return None;
    }
    let mut path = String::new();
    for segment in pattern {
        path.push('/');
        match segment {
            Segment::Text(text) => path.push_str(text),
            Segment::One | Segment::Rest if renamed.is_some() => return None,
            Segment::One | Segment::Rest => path.push_str(component.trim_start_matches('/')),
        }
    }
    let remainder = remainder(pattern, &path)?;
    let same =
        renamed.is_some() || remainder.trim_start_matches('/') == component.trim_start_matches('/');
    (same && passes(rule, renamed.unwrap_or(&remainder))).then_some(path)
}

fn passes(rule: &Rule, remainder: &str) -> bool {
    let listed = |list: &[String]| list.iter().any(|pattern| fits(pattern, remainder));
    rule.component_allow.as_deref().is_none_or(listed) && !listed(&rule.component_deny)
}

/// `/udf`, `udf` and `/u*` fit `/udf`.
fn fits(pattern: &str, remainder: &str) -> bool {
    let remainder = remainder.trim_start_matches('/');
    match pattern.trim_start_matches('/') {
        pattern if pattern.ends_with('*') => remainder.starts_with(pattern.trim_end_matches('*')),
        pattern => remainder == pattern,
    }
}

fn holds(condition: &Condition, input: &Value) -> bool {
    condition
        .path
        .select(input)
        .is_ok_and(|found| found == condition.value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Plugin;

    fn routes(table: &[(&str, &[Rule])]) -> Routes {
        let mut options = Options::default();
        for plugin in ["a", "b", "python"] {
            options.plugins.insert(plugin.into(), Plugin::Builtin);
        }
        options.routes = table
            .iter()
            .map(|(pattern, rules)| Route {
                pattern: (*pattern).into(),
                rules: rules.to_vec(),
            })
            .collect();
        Routes::compile(&options).unwrap()
    }

    fn to(plugin: &str) -> Rule {
        Rule {
            plugin: plugin.into(),
            ..Rule::default()
        }
    }

    fn check(routes: &Routes, path: &str, input: &str, expected: Option<(&str, &str)>) {
        let input = Value::parse(input).unwrap();
        let found = routes.find(path, &input);
        let found = found
            .as_ref()
            .map(|target| (target.plugin, target.component.as_str()));
        assert_eq!(found, expected, "{path}");
    }

    #[test]
    fn the_most_specific_pattern_wins_whatever_the_order() {
        let routes = routes(&[
            ("/{*component}", &[to("builtin")]),
            ("/python/{*component}", &[to("python")]),
            ("/python/{one}/last", &[to("a")]),
            ("/python/exact", &[to("b")]),
        ]);
        check(&routes, "/python/udf", "null", Some(("python", "/udf")));
        check(
            &routes,
            "/python/deep/er",
            "null",
            Some(("python", "/deep/er")),
        );
        check(&routes, "/python/x/last", "null", Some(("a", "/x")));
        check(
            &routes,
            "/python/exact",
            "null",
            Some(("b", "/python/exact")),
        );
        check(&routes, "/eval", "null", Some(("builtin", "/eval")));
        check(&routes, "/python", "null", Some(("builtin", "/python")));
    }

    #[test]
    fn conditions_names_and_lists_decide_among_rules() {
        let chat = Condition {
            path: "$.model".parse().unwrap(),
            value: Value::parse("\"gpt-4\"").unwrap(),
        };
        let routes = routes(&[
            (
                "/ai/chat",
                &[
                    Rule {
                        conditions: vec![chat],
                        ..to("a")
                    },
                    Rule {
                        component: Some("/chat".into()),
                        ..to("b")
                    },
                ],
            ),
            (
                "/python/{*component}",
                &[
                    Rule {
                        component_allow: Some(vec!["safe*".into()]),
                        ..to("a")
                    },
                    Rule {
                        component_deny: vec!["/evil".into()],
                        ..to("b")
                    },
                ],
            ),
        ]);
        check(
            &routes,
            "/ai/chat",
            r#"{"model":"gpt-4"}"#,
            Some(("a", "/ai/chat")),
        );
        check(
            &routes,
            "/ai/chat",
            r#"{"model":"x"}"#,
            Some(("b", "/chat")),
        );
        check(&routes, "/python/safe1", "null", Some(("a", "/safe1")));
        check(&routes, "/python/udf", "null", Some(("b", "/udf")));
        check(&routes, "/python/evil", "null", None);
        check(&routes, "/python/b/evil", "null", None);
        check(&routes, "/python/b/b//evil", "null", None);
        check(&routes, "/other", "null", None);
        assert!(routes.reaches("/ai/chat") && !routes.reaches("/ai/other"));
        assert_eq!(routes.paths_to("b", "/chat"), ["/ai/chat", "/python/chat"]);
        assert_eq!(routes.paths_to("a", "/safe1"), ["/python/safe1"]);
    }

    #[test]
    fn without_routes_each_plugin_has_its_own() {
        let mut options = Options::default();
        options.plugins.insert("python".into(), Plugin::Builtin);
        let routes = Routes::compile(&options).unwrap();
        check(&routes, "/python/udf", "null", Some(("python", "/udf")));
        check(&routes, "/builtin/eval", "null", Some(("builtin", "/eval")));
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let mut options = Options::default();
        for pattern in ["no-slash", "/a//b", "/{*rest}/more", "/a{b}"] {
            options.routes.push(Route {
                pattern: pattern.into(),
                rules: vec![to("nobody")],
            });
        }
        let errors = Routes::compile(&options).unwrap_err();
        assert_eq!(errors.len(), 8);
        assert!(
            errors[0]
                .to_string()
                .contains("`nobody`, which does not exist; there are: builtin")
        );
    }
}
