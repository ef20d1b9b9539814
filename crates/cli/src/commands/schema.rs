//! `stepflow schema`: what editors and other languages are told about our files and messages.

use stepflow_flow::flow;
use stepflow_flow::value::Value;
use stepflow_protocol::schema;

use crate::args::Schema;
use crate::args::SchemaOf;
use crate::config;
use crate::json_text;
use crate::output;
use crate::report::CliError;
use crate::report::Exit;

/// Prints a schema, indented also in a pipe: it is to be read and compared.
pub fn schema(args: &Schema) -> Result<Exit, CliError> {
    let schema = match args.of {
        SchemaOf::Flow => flow::json_schema(),
        SchemaOf::Config => config::json_schema(),
        SchemaOf::Protocol => schema::json_schema(),
    };
    let value = Value::from_serialize(&schema)
        .map_err(|error| CliError::internal("the schema cannot be written").because(error))?;
    output::print(&(json_text::indented(value.as_text()) + "\n"))?;
    Ok(Exit::Success)
}
