# The morning token: `request` asks Upstox at 08:00, the owner approves on the phone, Upstox posts it to `webhook`.
# Both are one small zip made by ../lambdas/package.py: standard library and the runtime's boto3.
locals {
  lambda_zip = "${path.module}/../lambdas/build/token.zip"
  lambdas = {
    request = {
      handler = "request.handle"
      environment = {
        UPSTOX_CLIENT_ID = var.upstox_client_id
        APP_SECRET       = aws_secretsmanager_secret.bot["app"].name
      }
    }
    webhook = {
      handler = "webhook.handle"
      environment = {
        UPSTOX_CLIENT_ID = var.upstox_client_id
        UPSTOX_USER_ID   = var.upstox_user_id
        PATH_SHA256      = var.webhook_path_sha256 # of 256 random bits: tells nothing about them
        TOKEN_SECRET     = aws_secretsmanager_secret.bot["token"].name
      }
    }
  }
}

resource "aws_lambda_function" "token" {
  for_each         = local.lambdas
  function_name    = "${var.name}-token-${each.key}"
  role             = aws_iam_role.lambda[each.key].arn
  runtime          = "python3.12"
  architectures    = ["arm64"]
  handler          = each.value.handler
  filename         = local.lambda_zip
  source_code_hash = filebase64sha256(local.lambda_zip)
  timeout          = 20
  memory_size      = 128
  environment {
    variables = each.value.environment
  }
  depends_on = [aws_cloudwatch_log_group.lambda]
}

resource "aws_cloudwatch_log_group" "lambda" {
  for_each          = local.lambdas
  name              = "/aws/lambda/${var.name}-token-${each.key}"
  retention_in_days = 365
}

# Upstox signs nothing and knows no AWS keys: the address is open, the path is the secret.
resource "aws_lambda_function_url" "webhook" {
  function_name      = aws_lambda_function.token["webhook"].function_name
  authorization_type = "NONE"
}

resource "aws_lambda_permission" "webhook" {
  statement_id           = "FunctionUrl"
  action                 = "lambda:InvokeFunctionUrl"
  function_name          = aws_lambda_function.token["webhook"].function_name
  principal              = "*"
  function_url_auth_type = "NONE"
}
