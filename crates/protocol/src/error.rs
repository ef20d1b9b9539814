//! The protocol's error table, and errors on the wire as errors of a flow and back. Codes, messages and data of a server
//! pass through untouched.

pub use stepflow_flow::error::ErrorCode;
use stepflow_flow::error::FlowError;
use stepflow_flow::value::Value;
use stepflow_rpc::RpcError;

/// An error of the table for the wire.
pub fn rpc_error(code: ErrorCode, message: impl Into<String>) -> RpcError {
    RpcError::new(stepflow_rpc::ErrorCode(code.number()), message)
}

/// A flow's error for the wire.
pub fn to_rpc(error: FlowError) -> RpcError {
    let FlowError {
        code,
        message,
        data,
    } = error;
    let error = RpcError::new(stepflow_rpc::ErrorCode(code), message);
    match data {
        Some(data) => error.with_data(&data),
        None => error,
    }
}

/// A server's error for the flow.
pub fn from_rpc(error: RpcError) -> FlowError {
    FlowError {
        code: error.code.0,
        message: error.message,
        data: error.data.map(Value::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_that_rpc_itself_uses_are_those_of_the_table() {
        let pairs = [
            (stepflow_rpc::ErrorCode::PARSE, ErrorCode::PARSE),
            (
                stepflow_rpc::ErrorCode::INVALID_REQUEST,
                ErrorCode::INVALID_REQUEST,
            ),
            (
                stepflow_rpc::ErrorCode::METHOD_NOT_FOUND,
                ErrorCode::METHOD_NOT_FOUND,
            ),
            (
                stepflow_rpc::ErrorCode::INVALID_PARAMS,
                ErrorCode::INVALID_PARAMS,
            ),
            (stepflow_rpc::ErrorCode::INTERNAL, ErrorCode::INTERNAL),
            (
                stepflow_rpc::ErrorCode::RESOURCE_UNAVAILABLE,
                ErrorCode::UNAVAILABLE,
            ),
            (stepflow_rpc::ErrorCode::BUSY, ErrorCode::BUSY),
            (stepflow_rpc::ErrorCode::CANCELLED, ErrorCode::CANCELLED),
        ];
        for (ours, tables) in pairs {
            assert_eq!(ours.0, tables.number());
        }
    }

    #[test]
    fn an_error_of_a_server_survives_the_way_to_the_flow_and_back() {
        let text = r#"{"code":4242,"message":"out of cheese","data":{"b":1.0,"a":null}}"#;
        let error: RpcError = serde_json::from_str(text).unwrap();
        let back = to_rpc(from_rpc(error));
        assert_eq!(serde_json::to_string(&back).unwrap(), text);
    }
}
