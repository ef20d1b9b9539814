//! `noop`: its output is its input.

use futures_util::FutureExt;
use stepflow_engine::Completion;
use stepflow_protocol::component::ComponentInfo;

use super::Builtin;
use super::Checks;
use super::Context;

pub(super) fn builtin() -> Builtin {
    let info = ComponentInfo {
        component: "/noop".to_owned(),
        description: Some("Returns its input".to_owned()),
        input_schema: None,
        output_schema: None,
    };
    let run = |context: Context| {
        std::future::ready(Ok(Completion::Output(context.invocation.input))).boxed()
    };
    Builtin {
        info,
        checks: Checks::ByItself,
        run: Box::new(run),
    }
}
