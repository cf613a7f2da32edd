//! The `kafka` plugin as a dynamic library; the logic is in the crate above.

kindred_plugin_api::export!(source kindred_plugin_kafka::Kafka);
