# terraform test: what the plan promises, with a provider that is a dummy.
mock_provider "aws" {
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
}

variables {
  alert_email         = "owner@example.com"
  upstox_client_id    = "11111111-2222-3333-4444-555555555555"
  upstox_user_id      = "AB1234"
  webhook_path_sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
  ami_id              = "ami-12345678"
}

run "the_machine_is_closed_and_encrypted" {
  command = plan
  assert {
    condition     = aws_instance.bot.metadata_options[0].http_tokens == "required"
    error_message = "IMDSv1 is open"
  }
  assert {
    condition     = aws_instance.bot.root_block_device[0].encrypted && !aws_instance.bot.root_block_device[0].delete_on_termination
    error_message = "the disk must be encrypted and outlive the machine"
  }
  assert {
    condition     = toset([for rule in aws_vpc_security_group_egress_rule.out : rule.from_port]) == toset([80, 443])
    error_message = "only 80 and 443 go out"
  }
}

run "the_day_runs_by_indias_clock" {
  command = plan
  assert {
    condition     = alltrue([for schedule in aws_scheduler_schedule.bot : schedule.schedule_expression_timezone == "Asia/Kolkata"])
    error_message = "every schedule is in Asia/Kolkata"
  }
  assert {
    condition = (aws_scheduler_schedule.bot["start"].schedule_expression == "cron(15 8 ? * MON-FRI *)"
    && aws_scheduler_schedule.bot["stop"].schedule_expression == "cron(15 16 ? * MON-FRI *)")
    error_message = "08:15 to 16:15 IST"
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.heartbeat.treat_missing_data == "breaching" && !aws_cloudwatch_metric_alarm.heartbeat.actions_enabled
    error_message = "silence is death, but only in session"
  }
}

run "always_on_switches_off_the_stop" {
  command = plan
  variables {
    always_on = true
  }
  assert {
    condition     = aws_scheduler_schedule.bot["start"].state == "DISABLED" && aws_scheduler_schedule.bot["stop"].state == "DISABLED"
    error_message = "always_on leaves the machine running"
  }
  assert {
    condition     = tonumber(output.estimated_monthly_cost_usd) > 20
    error_message = "always on costs more"
  }
}

run "about_twelve_dollars" {
  command = plan
  assert {
    condition     = tonumber(output.estimated_monthly_cost_usd) > 10 && tonumber(output.estimated_monthly_cost_usd) < 14
    error_message = "the estimate left the promised range"
  }
}

run "bad_values_are_refused" {
  command = plan
  variables {
    alert_email         = "nobody"
    upstox_client_id    = "?"
    upstox_user_id      = "-"
    webhook_path_sha256 = "my secret path in clear"
    name                = "A"
  }
  expect_failures = [
    var.alert_email, var.upstox_client_id, var.upstox_user_id, var.webhook_path_sha256, var.name,
  ]
}
