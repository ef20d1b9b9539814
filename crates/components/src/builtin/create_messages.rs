//! `create_messages`: the list of chat messages that language models take.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;

use super::Builtin;

/// What to say.
#[derive(Deserialize, JsonSchema)]
struct Input {
    /// What the model should be and do.
    #[serde(default)]
    system_instructions: Option<String>,
    /// What the user says.
    user_prompt: String,
}

/// The messages.
#[derive(Serialize, JsonSchema)]
struct Output {
    /// The instructions first, where there are any.
    messages: Vec<Message>,
}

/// One message.
#[derive(Serialize, JsonSchema)]
struct Message {
    /// `system` or `user`.
    role: &'static str,
    /// Its text.
    content: String,
}

pub(super) fn builtin() -> Builtin {
    Builtin::new(
        "/create_messages",
        "Makes chat messages of a prompt and instructions",
        |_context, input: Input| async move {
            let instructions = input.system_instructions.map(|content| Message {
                role: "system",
                content,
            });
            let prompt = Message {
                role: "user",
                content: input.user_prompt,
            };
            Ok(Output {
                messages: instructions.into_iter().chain([prompt]).collect(),
            })
        },
    )
}
