# Who may do what: docs/deploy.md holds the same table, and a test compares the two.
data "aws_iam_policy_document" "assume" {
  for_each = {
    machine   = "ec2.amazonaws.com"
    scheduler = "scheduler.amazonaws.com"
    lambda    = "lambda.amazonaws.com"
  }
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = [each.value]
    }
  }
}

# ---- the machine ----

resource "aws_iam_role" "machine" {
  name               = "${var.name}-machine"
  assume_role_policy = data.aws_iam_policy_document.assume["machine"].json
}

resource "aws_iam_instance_profile" "bot" {
  name = "${var.name}-machine"
  role = aws_iam_role.machine.name
}

data "aws_iam_policy_document" "machine" {
  statement {
    sid       = "Archive"
    actions   = ["s3:GetObject", "s3:PutObject"]
    resources = ["${aws_s3_bucket.archive.arn}/archive/*"]
  }
  statement {
    sid       = "Deployed"
    actions   = ["s3:GetObject"]
    resources = ["${aws_s3_bucket.archive.arn}/deploy/*"]
  }
  statement {
    sid       = "Look"
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.archive.arn]
    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = ["archive/*", "deploy/*"]
    }
  }
  statement {
    sid     = "Secrets"
    actions = ["secretsmanager:GetSecretValue"]
    resources = [
      aws_secretsmanager_secret.bot["token"].arn,
      aws_secretsmanager_secret.bot["alerts"].arn,
    ]
  }
  statement {
    sid       = "Mail"
    actions   = ["sns:Publish"]
    resources = [aws_sns_topic.alerts.arn]
  }
  statement {
    sid       = "AskForToken"
    actions   = ["lambda:InvokeFunction"]
    resources = [aws_lambda_function.token["request"].arn]
  }
  statement {
    sid       = "Logs"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.bot.arn}:*"]
  }
  statement {
    sid       = "Heartbeat"
    actions   = ["cloudwatch:PutMetricData"]
    resources = ["*"] # knows no resources; the namespace is the limit
    condition {
      test     = "StringEquals"
      variable = "cloudwatch:namespace"
      values   = ["OptionsBot"]
    }
  }
  statement {
    sid       = "Image"
    actions   = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    resources = [aws_ecr_repository.bot.arn]
  }
  statement {
    sid       = "RegistryLogin"
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"] # knows no resources
  }
  statement {
    # What Session Manager's agent needs, and no more than that (the managed policy also reads parameters).
    sid = "SessionManager"
    actions = [
      "ec2messages:AcknowledgeMessage",
      "ec2messages:DeleteMessage",
      "ec2messages:FailMessage",
      "ec2messages:GetEndpoint",
      "ec2messages:GetMessages",
      "ec2messages:SendReply",
      "ssm:UpdateInstanceInformation",
      "ssmmessages:CreateControlChannel",
      "ssmmessages:CreateDataChannel",
      "ssmmessages:OpenControlChannel",
      "ssmmessages:OpenDataChannel",
    ]
    resources = ["*"] # knows no resources
  }
}

resource "aws_iam_role_policy" "machine" {
  name   = "machine"
  role   = aws_iam_role.machine.id
  policy = data.aws_iam_policy_document.machine.json
}

# ---- the schedules ----

resource "aws_iam_role" "scheduler" {
  name               = "${var.name}-scheduler"
  assume_role_policy = data.aws_iam_policy_document.assume["scheduler"].json
}

data "aws_iam_policy_document" "scheduler" {
  statement {
    sid       = "StartStop"
    actions   = ["ec2:StartInstances", "ec2:StopInstances"]
    resources = [aws_instance.bot.arn]
  }
  statement {
    sid       = "AskForToken"
    actions   = ["lambda:InvokeFunction"]
    resources = [aws_lambda_function.token["request"].arn]
  }
  statement {
    sid       = "WatchInSession"
    actions   = ["cloudwatch:DisableAlarmActions", "cloudwatch:EnableAlarmActions", "cloudwatch:SetAlarmState"]
    resources = [aws_cloudwatch_metric_alarm.heartbeat.arn]
  }
  statement {
    sid       = "StopsMatterInSession"
    actions   = ["events:DisableRule", "events:EnableRule"]
    resources = [aws_cloudwatch_event_rule.stopped_in_session.arn]
  }
  statement {
    sid       = "Missed"
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.missed.arn]
  }
}

resource "aws_iam_role_policy" "scheduler" {
  name   = "scheduler"
  role   = aws_iam_role.scheduler.id
  policy = data.aws_iam_policy_document.scheduler.json
}

# ---- the two Lambdas ----

resource "aws_iam_role" "lambda" {
  for_each           = local.lambdas
  name               = "${var.name}-token-${each.key}"
  assume_role_policy = data.aws_iam_policy_document.assume["lambda"].json
}

data "aws_iam_policy_document" "lambda" {
  for_each = {
    request = { action = "secretsmanager:GetSecretValue", secret = "app" }
    webhook = { action = "secretsmanager:PutSecretValue", secret = "token" } # can't read what it wrote
  }
  statement {
    sid       = "Secret"
    actions   = [each.value.action]
    resources = [aws_secretsmanager_secret.bot[each.value.secret].arn]
  }
  statement {
    sid       = "Logs"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.lambda[each.key].arn}:*"]
  }
}

resource "aws_iam_role_policy" "lambda" {
  for_each = local.lambdas
  name     = each.key
  role     = aws_iam_role.lambda[each.key].id
  policy   = data.aws_iam_policy_document.lambda[each.key].json
}
