//! Component paths as flows write them.
//!
//! Owns their form. Must not know which components exist.

/// The absolute path of a component: a bare name means a built-in.
///
/// ```
/// use stepflow_flow::flow::normalize_component;
/// assert_eq!(normalize_component("/python/udf").unwrap(), "/python/udf");
/// assert_eq!(normalize_component("openai").unwrap(), "/builtin/openai");
/// assert!(normalize_component("python/udf").is_err());
/// ```
pub fn normalize(text: &str) -> Result<String, ComponentError> {
    let error = |message: &str, hint: String| {
        Err(ComponentError {
            message: message.to_owned(),
            hint,
        })
    };
    if text.is_empty() {
        return error(
            "the component is empty",
            "write a path such as /python/udf".to_owned(),
        );
    }
    if let Some(c) = text.chars().find(|c| c.is_whitespace() || c.is_control()) {
        return error(
            &format!("the component {text:?} holds {c:?}"),
            "a component is a path such as /python/udf".to_owned(),
        );
    }
    match text.strip_prefix('/') {
        None if text.contains("://") => error(
            &format!("the component {text:?} is a URL"),
            "name the plugin's route instead, such as /python/udf".to_owned(),
        ),
        None if text.contains('/') => error(
            &format!("the component {text:?} does not start with a slash"),
            format!("did you mean \"/{text}\"?"),
        ),
        None => Ok(format!("/builtin/{text}")),
        Some(rest) if rest.split('/').any(str::is_empty) => error(
            &format!("the component {text:?} has an empty part"),
            "a component is a path such as /python/udf".to_owned(),
        ),
        Some(_) => Ok(text.to_owned()),
    }
}

/// Why a text cannot name a component.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}; {hint}")]
pub struct ComponentError {
    /// What is wrong.
    pub message: String,
    /// The way forward.
    pub hint: String,
}
