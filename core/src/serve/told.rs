//! What plugins count, for Prometheus: `kindred_plugin_NAME{instance="…"}`.

use crate::plugin::metrics;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, NoLabelSet},
    metrics::MetricType,
};
use std::fmt;

/// Asks for the metrics of all plugins at each scrape.
#[derive(Debug)]
pub(super) struct Told;

impl Collector for Told {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for metric in metrics() {
            let name = format!("plugin_{}", metric.name);
            let kind = if metric.adds { MetricType::Counter } else { MetricType::Gauge };
            let mut family = encoder.encode_descriptor(&name, "Told by plugins", None, kind)?;
            for (instance, value) in &metric.values {
                let labels = [("instance", instance.as_str())];
                let mut one = family.encode_family(&labels)?;
                match metric.adds {
                    true => one.encode_counter::<NoLabelSet, f64, u64>(value, None)?,
                    false => one.encode_gauge(value)?,
                }
            }
        }
        Ok(())
    }
}
