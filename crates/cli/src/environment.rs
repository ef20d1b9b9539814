//! The only look at the process's surroundings: variables, folder, cores. Owns which variables a child may see unasked.

use std::ffi::OsStr;
use std::ffi::OsString;
use std::path::PathBuf;

use stepflow_rpc::transport::http::client::Url;

use crate::report::CliError;

/// Variables that programs need to work at all and that hold no secrets. `LC_*` belongs to them.
const SAFE: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "TZ",
    "TMPDIR",
    "TMP",
    "TEMP",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "VIRTUAL_ENV",
];

/// What the process was started with.
#[derive(Clone)]
pub struct Environment {
    /// Every variable.
    pub variables: Vec<(OsString, OsString)>,
    /// The current folder.
    pub folder: PathBuf,
    /// How many threads can run at once.
    pub cores: usize,
}

impl Environment {
    /// Looks around.
    pub fn capture() -> Result<Environment, CliError> {
        let folder = std::env::current_dir().map_err(|error| {
            CliError::usage("the current folder cannot be found")
                .because(error)
                .hint("was it removed? change to another one")
        })?;
        Ok(Environment {
            variables: std::env::vars_os().collect(),
            folder,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
        })
    }

    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        let found = self.variables.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_os_str())
    }

    /// The proxy that requests to this URL go through, as `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy` say.
    pub fn proxy_for(&self, url: &Url) -> Option<Url> {
        let either = |name: &str| {
            let value = self
                .get(name)
                .or_else(|| self.get(&name.to_ascii_uppercase()))?;
            value.to_str().filter(|value| !value.is_empty())
        };
        let host = url.host_str()?;
        let excepts = |entry: &str| {
            let entry = entry.trim().trim_start_matches('.');
            entry == "*"
                || host == entry
                || host
                    .strip_suffix(entry)
                    .is_some_and(|rest| rest.ends_with('.'))
        };
        if either("no_proxy").is_some_and(|list| {
            list.split(',')
                .any(|entry| !entry.trim().is_empty() && excepts(entry))
        }) {
            return None;
        }
        let proxy = either(&format!("{}_proxy", url.scheme())).or_else(|| either("all_proxy"))?;
        Url::parse(proxy)
            .or_else(|_| Url::parse(&format!("http://{proxy}")))
            .ok()
    }

    /// The variables a component server gets unasked.
    pub fn safe(&self) -> impl Iterator<Item = &(OsString, OsString)> {
        self.variables
            .iter()
            .filter(|(name, _)| name.to_str().is_some_and(is_safe))
    }
}

/// Whether a variable holds no secret and is given to children unasked.
pub fn is_safe(name: &str) -> bool {
    SAFE.contains(&name) || name.starts_with("LC_")
}

// Values may be secrets; only names are shown.
impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.variables.iter().map(|(name, _)| name).collect();
        f.debug_struct("Environment")
            .field("variables", &names)
            .field("folder", &self.folder)
            .field("cores", &self.cores)
            .finish()
    }
}
