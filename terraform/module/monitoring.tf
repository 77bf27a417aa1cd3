# The files of examples/monitoring, which say what each is for. A job that was never launched has no metrics
# yet: the existence of those that an alert reads is not checked.

locals {
  monitoring  = "${path.module}/../../examples/monitoring"
  alerts      = { for file in fileset(local.monitoring, "alert-*.json") : file => jsondecode(file("${local.monitoring}/${file}")) }
  log_metrics = { for file in fileset(local.monitoring, "log-metric-*.json") : file => jsondecode(file("${local.monitoring}/${file}")) }
}

resource "google_monitoring_dashboard" "ensemble" {
  project        = var.project
  dashboard_json = file("${local.monitoring}/dashboard.json")

  depends_on = [google_project_service.api]
}

resource "google_logging_metric" "metric" {
  for_each = local.log_metrics

  project     = var.project
  name        = each.value.name
  description = each.value.description
  filter      = each.value.filter

  metric_descriptor {
    metric_kind = each.value.metricDescriptor.metricKind
    value_type  = each.value.metricDescriptor.valueType
  }

  depends_on = [google_project_service.api]
}

resource "google_monitoring_alert_policy" "alert" {
  for_each = local.alerts

  project               = var.project
  display_name          = each.value.displayName
  combiner              = each.value.combiner
  severity              = each.value.severity
  notification_channels = var.notification_channels
  user_labels           = local.labels

  documentation {
    content   = each.value.documentation.content
    mime_type = each.value.documentation.mimeType
  }

  dynamic "conditions" {
    for_each = each.value.conditions
    content {
      display_name = conditions.value.displayName
      condition_prometheus_query_language {
        query                     = conditions.value.conditionPrometheusQueryLanguage.query
        duration                  = conditions.value.conditionPrometheusQueryLanguage.duration
        evaluation_interval       = conditions.value.conditionPrometheusQueryLanguage.evaluationInterval
        disable_metric_validation = conditions.value.conditionPrometheusQueryLanguage.disableMetricValidation
      }
    }
  }

  alert_strategy {
    auto_close = each.value.alertStrategy.autoClose
  }

  depends_on = [google_logging_metric.metric]
}
