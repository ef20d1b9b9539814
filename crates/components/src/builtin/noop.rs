//! `noop`: its output is its input.

use futures_util::FutureExt;
use stepflow_engine::Completion;
use stepflow_protocol::component::ComponentInfo;

use super::Builtin;

pub(super) fn builtin() -> Builtin {
    let info = ComponentInfo {
        component: "/noop".to_owned(),
        description: Some("Returns its input".to_owned()),
        input_schema: None,
        output_schema: None,
    };
    let run = |_context, input| std::future::ready(Ok(Completion::Output(input))).boxed();
    Builtin {
        info,
        run: Box::new(run),
    }
}
